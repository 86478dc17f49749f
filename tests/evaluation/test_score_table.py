"""The tables that `evaluate` prints."""

from recipes.core.evaluation import ScoreBook, score_table
from recipes.core.generation.sampling import SamplingArguments
from tests.evaluation.samples import RIGHT, WRONG, make_sample, make_samples

SAMPLING = SamplingArguments(num_generations=1, max_completion_length=72)


def cells(line):
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def story():
    """Two models on two benchmarks; the first has no known size, like one behind an endpoint."""
    book = ScoreBook(seed=1)
    book.add("base", "held_out", make_samples(1, wrong=9), {"model": "m", "parameters": None})
    book.add("base", "train", make_samples(2, wrong=8), {"model": "m", "parameters": None})
    book.add("policy", "held_out", make_samples(9, wrong=1), {"parameters": 454_000})
    book.add("policy", "train", make_samples(10), {"parameters": 454_000})
    book.add_speed("policy", "held_out", {"tokens_per_second": 1234.5})
    return book


def test_the_first_table_has_the_four_columns_that_everyone_reads():
    main, _, _, _ = score_table(story(), SAMPLING).split("\n\n")
    header, _, base, policy = main.splitlines()
    assert cells(header) == ["model", "parameters", "held-out accuracy (95 % interval)", "format"]
    assert cells(base) == ["base", "-", "0.100 (0.000 to 0.300)", "1.000"]
    assert cells(policy) == ["policy", "0.454 M", "0.900 (0.700 to 1.000)", "1.000"]


def test_the_second_table_has_the_details_of_the_same_models():
    _, details, _, _ = score_table(story(), SAMPLING).split("\n\n")
    header, _, base, policy = map(cells, details.splitlines())
    assert dict(zip(header, policy, strict=True)) == {
        "model": "policy",
        "on train": "1.000",
        "flexible": "0.900",
        "accuracy given format": "0.900",
        "length": "10.0",
        "truncated": "0.000",
        "tokens/s": "1234",
        "questions": "10",
        "samples": "10",
    }
    assert dict(zip(header, base, strict=True))["tokens/s"] == "-"  # nothing was sampled


def test_greedy_accuracy_has_a_column_where_it_was_sampled():
    book = story()
    assert "greedy" not in score_table(book, SAMPLING)
    book.add_greedy("policy", "held_out", make_samples(3, wrong=1))
    _, details, _, _ = score_table(book, SAMPLING).split("\n\n")
    header, _, base, policy = map(cells, details.splitlines())
    assert dict(zip(header, base, strict=True))["greedy"] == "-"
    assert dict(zip(header, policy, strict=True))["greedy"] == "0.750"


def test_a_benchmark_named_like_a_column_has_a_column_of_its_own():
    book = story()
    for model in ("base", "policy"):
        book.add(model, "flexible", make_samples(1, wrong=3), {})
    _, details, _, _ = score_table(book, SAMPLING).split("\n\n")
    header, _, _, policy = map(cells, details.splitlines())
    row = dict(zip(header, policy, strict=True))
    assert (row["on flexible"], row["flexible"]) == ("0.250", "0.900")


def test_the_comparison_and_the_sampling_follow_the_tables():
    _, _, comparison, sampling = score_table(story(), SAMPLING).split("\n\n")
    assert comparison.startswith("policy - base: +0.800 (+0.500 to +1.000), p = ")
    expected = "1 sample(s) per question at temperature 1, top_p 1, at most 72 tokens.\n"
    assert sampling == expected


def test_several_samples_per_question_give_pass_at_k_and_a_majority():
    book = ScoreBook(seed=1)
    samples = [make_sample("a", RIGHT, 1.0, 0), make_sample("a", WRONG, 0.0, 1)]
    book.add("policy", "held_out", samples, {"parameters": 1})
    text = score_table(book, SamplingArguments(num_generations=2))
    assert "policy: pass@1 0.500, pass@2 1.000, majority of 2 1.000\n" in text


def test_a_single_model_has_no_comparison_and_no_empty_lines_for_it():
    book = ScoreBook(seed=1)
    book.add("policy", "held_out", make_samples(1), {"parameters": 1})
    assert "\n\n\n" not in score_table(book, SAMPLING)
