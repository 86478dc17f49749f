"""Long prompts and duplicates are left out and counted."""

from types import SimpleNamespace

import pytest
from datasets import Dataset

from recipes.core.data.filters import drop_duplicates, drop_long_prompts, load_eval_questions
from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.errors import UserError
from recipes.core.prompts import load_tokenizer, render_prompt
from tests.support.commands import ROOT

SHIPPED = ROOT / "recipes/arithmetic/models/base"
ARITHMETIC = DataArguments(
    dataset_name="recipes.arithmetic.dataset:questions",
    system_prompt="",
    max_eval_samples=50,
)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SHIPPED)


@pytest.fixture
def questions():
    return load_questions(ARITHMETIC, "test", 50)


def test_the_tokens_of_every_prompt_are_kept_in_a_column(questions, tokenizer):
    measured = drop_long_prompts(questions, tokenizer, None)
    assert len(measured) == 50
    for row in measured:
        text = render_prompt(tokenizer, row["prompt"])
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert row["prompt_tokens"] == len(tokens)


def test_long_prompts_are_left_out_and_counted(questions, tokenizer, caplog):
    rows = questions.to_list()
    rows[0]["prompt"] *= 9
    kept = drop_long_prompts(Dataset.from_list(rows), tokenizer, 8)
    assert list(kept["question"]) == list(questions["question"])[1:]
    assert "1 of 50 prompts are longer than 8 tokens" in caplog.text


def test_a_limit_that_no_prompt_meets_is_refused(questions, tokenizer):
    with pytest.raises(UserError, match="all 50 prompts are longer than 6 tokens"):
        drop_long_prompts(questions, tokenizer, 6)


def test_the_first_row_of_each_question_is_kept(caplog):
    caplog.set_level("INFO")
    rows = Dataset.from_dict({"question_id": ["a", "b", "a", "c", "b"], "row": range(5)})
    assert list(drop_duplicates(rows)["row"]) == [0, 1, 3]
    assert "2 duplicate questions are left out" in caplog.text


def test_rows_without_duplicates_stay_as_they_are(caplog):
    caplog.set_level("INFO")
    rows = Dataset.from_dict({"question_id": ["b", "a"]})
    assert drop_duplicates(rows) is rows
    assert not caplog.text


def test_held_out_questions_are_measured_like_those_of_training(tokenizer):
    training_args = SimpleNamespace(eval_strategy="steps")
    questions = load_eval_questions(ARITHMETIC, training_args, tokenizer)
    assert len(questions) == 50
    assert max(questions["prompt_tokens"]) <= 8


def test_a_run_that_does_not_evaluate_reads_no_held_out_questions(tokenizer):
    args = DataArguments(dataset_name="./nowhere")
    assert load_eval_questions(args, SimpleNamespace(eval_strategy="no"), tokenizer) is None
