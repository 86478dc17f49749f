"""A question that appears in an evaluation set is found, also if it is only similar."""

import pytest

from recipes.core.data.benchmarks import BenchmarkArguments
from recipes.core.data.decontaminate import benchmark_questions, find_contaminated
from recipes.core.files import replace_jsonl

HELD_OUT = (
    "Natalia sold clips to 48 of her friends in April and then half as many clips in May "
    "how many altogether"
)
WORDS = HELD_OUT.split()


@pytest.mark.parametrize(
    ("question", "is_contaminated"),
    [
        (HELD_OUT, True),
        (HELD_OUT.upper() + "?", True),  # case and punctuation do not matter
        (" ".join(["Well,", *WORDS[:13], "or not?"]), True),  # thirteen words in a row
        (" ".join(["Well,", *WORDS[:12], "or not?"]), False),  # twelve
        (" ".join([*WORDS[:12], "perhaps", *WORDS[12:]]), False),  # interrupted
        (" ".join(WORDS[:5]), False),  # shorter than thirteen words, and not the whole text
        ("23*7+5", True),  # a short question is compared as a whole
        ("23*7+6", False),
        ("23*7-5", False),  # signs of formulas are not punctuation
    ],
)
def test_the_same_text_or_thirteen_words_in_a_row_are_contamination(question, is_contaminated):
    found = find_contaminated([question, "something else"], [HELD_OUT, "23*7+5"])
    assert found == ({question} if is_contaminated else set())


def test_the_questions_of_all_sets_but_the_training_split_are_read_whole(tmp_path, caplog):
    replace_jsonl(tmp_path / "test.jsonl", [{"question": f"q{n}", "answer": "1"} for n in range(3)])
    replace_jsonl(tmp_path / "train.jsonl", [{"question": "trained", "answer": "1"}])
    args = BenchmarkArguments(
        dataset_name=str(tmp_path / "train.jsonl"),
        dataset_test_split="train",  # the held-out set is the training split itself
        eval_sets=[
            {"name": "test", "dataset_name": str(tmp_path / "test.jsonl"), "max_eval_samples": 1},
            {"name": "gone", "dataset_name": "./nowhere"},
        ],
    )
    assert benchmark_questions(args, "generate.yaml") == ["q0", "q1", "q2"]
    assert "the traces are not compared with the set gone" in caplog.text
