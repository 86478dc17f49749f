"""Questions from everywhere, and one clear line where there are none."""

import json
from dataclasses import replace

import pytest
from datasets import Dataset, DatasetDict

from recipes.arithmetic.dataset import products
from recipes.core.data.benchmarks import BenchmarkArguments, benchmark_arguments
from recipes.core.data.filters import drop_long_prompts
from recipes.core.data.order import longest_first
from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.errors import UserError
from recipes.core.prompts.messages import R1_ZERO_SYSTEM_PROMPT, prefilled_text, render_prompt
from recipes.core.prompts.tokenizer import load_tokenizer
from tests.support.commands import ROOT

ROWS = [
    {"question": f"{n}+{n}?", "answer": f"Because.\n#### {2 * n}", "level": n} for n in range(1, 6)
]
PATTERN = r"####\s*(.+)"
SHIPPED = ROOT / "recipes/arithmetic/models/base"


def made_up():
    return DatasetDict({"train": Dataset.from_list(ROWS)})


def save(folder, kind):
    dataset = Dataset.from_list(ROWS)
    path = str(folder / f"train.{kind}")
    {
        "jsonl": lambda: dataset.to_json(path),
        "json": lambda: (folder / "train.json").write_text(json.dumps(ROWS)),
        "csv": lambda: dataset.to_csv(path),
        "parquet": lambda: dataset.to_parquet(path),
        "folder": lambda: dataset.to_json(str(folder / "train.jsonl")),
        "saved": lambda: DatasetDict({"train": dataset}).save_to_disk(str(folder)),
        "function": lambda: None,
    }[kind]()
    return {
        "folder": str(folder),
        "saved": str(folder),
        "function": "tests.data.test_questions:made_up",
    }.get(kind, path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "folder", "saved", "function"])
def test_questions_are_read_from_every_kind_of_source(tmp_path, kind):
    args = DataArguments(dataset_name=save(tmp_path, kind), answer_pattern=PATTERN)
    questions = load_questions(args, "train")
    assert questions["answer"] == ["2", "4", "6", "8", "10"]
    assert questions["level"] == [1, 2, 3, 4, 5]  # other columns stay
    assert questions["prompt"][0] == [
        {"role": "system", "content": R1_ZERO_SYSTEM_PROMPT},
        {"role": "user", "content": "1+1?"},
    ]
    assert len(load_questions(args, "train", 2)) == 2


def test_trls_columns_are_understood_and_a_conversation_is_kept(tmp_path):
    rows = [{"prompt": [{"role": "user", "content": "1+1?"}], "solution": "2"}]
    Dataset.from_list(rows).to_json(str(tmp_path / "a.jsonl"))
    (row,) = load_questions(
        DataArguments(dataset_name=str(tmp_path / "a.jsonl"), system_prompt=""), "train"
    )
    assert (row["question"], row["answer"], row["solution"], row["prompt"]) == (
        "1+1?",
        "2",
        "2",
        rows[0]["prompt"],
    )


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path, caplog):
    Dataset.from_list([*ROWS, {"question": "?", "answer": "I do not know", "level": 0}]).to_json(
        str(tmp_path / "a.jsonl")
    )
    args = DataArguments(dataset_name=str(tmp_path / "a.jsonl"), answer_pattern=PATTERN)
    assert len(load_questions(args, "train")) == 5
    assert "1 of 6 rows have no answer" in caplog.text


@pytest.mark.parametrize(
    ("keys", "split", "message"),
    [
        (
            {"question_column": "problem"},
            "train",
            "no column 'problem'; there are: question, answer, level. Write `question_column`",
        ),
        (
            {"answer_column": "gold"},
            "train",
            "no column 'gold'; there are: question, answer, level. Write `answer_column`",
        ),
        ({"answer_pattern": "@@(.+)"}, "train", r"matches none of the 5 answers"),
        ({"answer_pattern": "(.)(.)"}, "train", "must have one group, has 2"),
        ({"answer_pattern": "("}, "train", "is not a regular expression"),
        ({}, "test", "test"),
        ({"dataset_name": "./nowhere"}, "train", "there is no file or folder './nowhere'"),
        ({"dataset_name": "nowhere.jsonl"}, "train", "there is no file or folder 'nowhere.jsonl'"),
        ({"dataset_name": "no_such_module:f"}, "train", "cannot import 'no_such_module:f'"),
        ({"dataset_name": "README.md"}, "train", "is not one of .jsonl, .json, .csv, .parquet"),
        ({"dataset_name": None}, "train", "dataset_name is not set"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path, monkeypatch, keys, split, message):
    monkeypatch.chdir(ROOT)
    path = save(tmp_path, "jsonl")
    with pytest.raises(
        UserError, match=message.replace(".", r"\.") if "(" not in message else None
    ) as error:
        load_questions(DataArguments(**{"dataset_name": path} | keys), split)
    assert "\n" not in str(error.value)


def test_a_broken_or_empty_file_is_one_clear_line_that_names_it(tmp_path):
    for name, text in (("broken.jsonl", '{"question": "a", "ans'), ("empty.jsonl", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=name) as error:
            load_questions(DataArguments(dataset_name=str(tmp_path / name)), "train")
        assert "\n" not in str(error.value)


def test_long_prompts_are_left_out_and_counted(caplog):
    tokenizer = load_tokenizer(SHIPPED)
    args = DataArguments(dataset_name="recipes.arithmetic.dataset:questions", system_prompt="")
    questions = load_questions(args, "test", 50)
    assert len(drop_long_prompts(questions, tokenizer, None)) == 50
    with pytest.raises(UserError, match="all 50 prompts are longer than 6 tokens"):
        drop_long_prompts(questions, tokenizer, 6)
    longer = questions.add_column("x", [0] * 50).map(
        lambda row, i: {"prompt": row["prompt"] if i else row["prompt"] * 9}, with_indices=True
    )
    assert len(drop_long_prompts(longer, tokenizer, 8)) == 49
    assert "1 of 50 prompts are longer than 8 tokens" in caplog.text


def test_arithmetic_shares_no_question_and_no_product_between_training_and_held_out():
    train, held_out = products()
    assert len(set(train)) == 576 and len(set(held_out)) == 144
    assert not set(train) & set(held_out)
    load = {
        s: load_questions(DataArguments(dataset_name="recipes.arithmetic.dataset:questions"), s)
        for s in ("train", "test")
    }
    assert not set(load["train"]["question"]) & set(load["test"]["question"])
    for row in load["test"]:
        (a, b), c = (
            map(int, row["question"].split("+")[0].split("*")),
            int(row["question"].split("+")[1]),
        )
        assert row["answer"] == str(a * b + c)
        assert (a, b) in set(held_out)


def test_the_pretraining_corpus_asks_training_questions_only():
    import random

    from recipes.arithmetic.pretrain import make_document

    train, held_out = products()
    rng = random.Random(0)
    factors = {
        tuple(map(int, make_document(rng, train)[0].split("+")[0].split("*")))
        for _ in range(20_000)
    }
    assert not factors & set(held_out)
    assert len(factors) == 576


GOLDEN = {
    "arithmetic": (None, "", "23*7+5="),
    "r1_zero": ("r1_zero.jinja", None, f"{R1_ZERO_SYSTEM_PROMPT}\nUser: 23*7+5\nAssistant:"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_prompts_are_rendered_to_the_letter(name):
    from recipes.core.prompts.messages import to_messages

    template, system, expected = GOLDEN[name]
    tokenizer = load_tokenizer(SHIPPED, template)
    assert render_prompt(tokenizer, to_messages("23*7+5", system)) == expected
    assert prefilled_text(tokenizer) == ""


def test_a_template_that_opens_the_think_block_is_noticed(tmp_path):
    (tmp_path / "t.jinja").write_text(
        "{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}"
    )
    assert prefilled_text(load_tokenizer(SHIPPED, str(tmp_path / "t.jinja"))) == "<think>"


def test_the_token_that_ends_a_turn_becomes_the_end_of_sequence_token(tmp_path):
    (tmp_path / "t.jinja").write_text(
        "{% for m in messages %}{{ m.content }}<pad>{% endfor %}"
    )  # any special token but <eos>
    assert load_tokenizer(SHIPPED, str(tmp_path / "t.jinja")).eos_token == "<pad>"


def test_more_sets_say_only_how_they_differ_from_the_held_out_one():
    args = BenchmarkArguments(dataset_name="a", answer_pattern="(.)", max_eval_samples=9)
    assert benchmark_arguments(args, "evaluate.yaml") == {"held_out": args}
    sets = benchmark_arguments(
        replace(args, eval_sets="[{name: train, dataset_test_split: train, max_eval_samples: 5}]"),
        "evaluate.yaml",
    )
    assert list(sets) == ["held_out", "train"]
    train = sets["train"]
    assert (
        train.dataset_name,
        train.answer_pattern,
        train.dataset_test_split,
        train.max_eval_samples,
    ) == ("a", "(.)", "train", 5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("{name: train}", "`eval_sets` must be a list"),
        ("[train]", "got 'train'"),
        ("[{dataset_name: b}]", "got {'dataset_name': 'b'}"),
        ("[{name: held_out}]", "got {'name': 'held_out'}"),  # taken
        ("[{name: ../up}]", "got {'name': '../up'}"),  # it names a folder
        ("[{name: ..}]", "got {'name': '..'}"),
        ("[{name: b, dataset_nam: b}]", "unknown key `dataset_nam`; did you mean `dataset_name`?"),
        ("[{name: b", "`eval_sets` is not valid YAML"),
    ],
)
def test_a_set_that_makes_no_sense_is_refused(entries, message):
    with pytest.raises(UserError) as error:
        benchmark_arguments(
            BenchmarkArguments(dataset_name="a", eval_sets=entries), "evaluate.yaml"
        )
    assert message in str(error.value) and str(error.value).startswith("evaluate.yaml")


def test_the_longest_rows_come_where_the_samplers_of_trl_and_transformers_read_first():
    from transformers.trainer_pt_utils import BatchRebalanceSampler
    from trl.trainer.utils import RepeatSampler

    lengths = [(row * 37) % 101 for row in range(100)]  # no two alike
    dataset = Dataset.from_dict({"row": list(range(100)), "length": lengths})
    longest = sorted(lengths)[-8:]
    for seed in (None, 7):
        ordered = longest_first(dataset, 8, seed, column="length")
        assert sorted(ordered["row"]) == list(range(100))
        sampler = RepeatSampler(
            ordered,
            mini_repeat_count=3,
            batch_size=8,
            repeat_count=2,
            shuffle=seed is not None,
            seed=seed,
        )
        first = list(dict.fromkeys(list(sampler)[:24]))
        assert sorted(ordered[first]["length"]) == longest
        moved = [row for place, row in enumerate(ordered["row"]) if place != row]
        assert len(moved) <= 16  # the others stay where they were
    ordered = longest_first(dataset, 8, 42, column="length")
    ranks = [
        BatchRebalanceSampler(
            ordered["length"], effective_batch_size=8, dp_size=2, grad_accum=2, rank=rank
        )
        for rank in (0, 1)
    ]
    steps = [[row for batch in list(sampler)[:2] for row in batch] for sampler in ranks]
    assert sorted(ordered[steps[0] + steps[1]]["length"]) == longest
    assert longest_first(dataset, 100, 7, column="length")["length"] != lengths
