"""The tables that `evaluate` prints: accuracy and format, the details, comparisons of models."""

from recipes.core.evaluation.markdown import (
    format_fraction,
    format_interval,
    format_parameters,
    markdown_table,
)
from recipes.core.evaluation.score_book import ModelScores, ScoreBook
from recipes.core.generation.sampling import SamplingArguments


def score_table(book: ScoreBook, sampling: SamplingArguments) -> str:
    """All scores as Markdown, the most important first, and how the samples were made."""
    benchmark = book.main_benchmark
    main_scores = book.scores[benchmark]
    # A row is a dict from column to cell; all rows have the same columns.
    details = [_detail_row(book, model) for model in main_scores]
    blocks = [
        _main_table(main_scores, benchmark.replace("_", "-")),
        markdown_table(list(details[0]), [list(row.values()) for row in details]),
        _several_samples(main_scores, sampling) + _comparisons(book),
        f"{sampling.num_generations} sample(s) per question at temperature "
        f"{sampling.temperature:g}, top_p {sampling.top_p:g}, at most "
        f"{sampling.max_completion_length} tokens.\n",
    ]
    return "\n".join(block for block in blocks if block)


def _main_table(main_scores: dict[str, ModelScores], benchmark: str) -> str:
    """One line per model, in the four columns that everyone reads."""
    header = ["model", "parameters", f"{benchmark} accuracy (95 % interval)", "format"]
    rows = []
    for model, scores in main_scores.items():
        accuracy = format_fraction(scores["accuracy"])
        rows.append(
            [
                model,
                format_parameters(scores.get("parameters")),
                f"{accuracy} ({format_interval(scores['ci95'])})",
                format_fraction(scores["format"]),
            ]
        )
    return markdown_table(header, rows)


def _detail_row(book: ScoreBook, model: str) -> dict[str, str]:
    """The other numbers of a model by the name of their column; every model has the same ones."""
    main_scores = book.scores[book.main_benchmark]
    scores = main_scores[model]
    row = {"model": model}

    # Accuracies: on other benchmarks, wherever the answer appears, and without chance in sampling.
    for name, models in book.scores.items():
        if name != book.main_benchmark:
            row[f"on {name}"] = format_fraction(models.get(model, {}).get("accuracy"))
    row["flexible"] = format_fraction(scores["flexible_accuracy"])
    if any("greedy_accuracy" in others for others in main_scores.values()):
        row["greedy"] = format_fraction(scores.get("greedy_accuracy"))
    row["accuracy given format"] = format_fraction(scores["accuracy_given_format"])

    # The completions, and how many there were.
    row["length"] = f"{scores['mean_length']:.1f}"
    row["truncated"] = format_fraction(scores["truncated"])
    row["tokens/s"] = f"{book.speeds[model]:.0f}" if model in book.speeds else "-"
    row["questions"] = str(scores["n"])
    row["samples"] = str(scores["samples"])
    return row


def _several_samples(main_scores: dict[str, ModelScores], sampling: SamplingArguments) -> str:
    """A line with pass@k and the majority vote of each model with several samples per question."""
    text = ""
    for model, scores in main_scores.items():
        if scores["majority"] is not None:
            rates = [f"pass@{k} {value:.3f}" for k, value in scores["pass_at"].items()]
            rates.append(f"majority of {sampling.num_generations} {scores['majority']:.3f}")
            text += f"{model}: {', '.join(rates)}\n"
    return text


def _comparisons(book: ScoreBook) -> str:
    """A line per pair of models: the difference in accuracy and its interval."""
    text = ""
    for pair, test in book.paired(book.main_benchmark).items():
        low, high = test["ci95"]
        interval = f"({low:+.3f} to {high:+.3f})"
        text += f"{pair}: {test['difference']:+.3f} {interval}, p = {test['p']:.2g}\n"
    return text
