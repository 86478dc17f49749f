"""Rows of any dataset become questions: text, answer, prompt and identity."""

import re

import pytest

from recipes.core.data.questions import (
    DataArguments,
    extract_answer,
    load_questions,
    question_id,
)
from recipes.core.errors import UserError
from recipes.core.files import replace_jsonl
from recipes.core.prompts.messages import R1_ZERO_SYSTEM_PROMPT

ROWS = [
    {"question": f"{n}+{n}?", "answer": f"Because.\n#### {2 * n}", "level": n} for n in range(1, 6)
]
PATTERN = r"####\s*(.+)"


def write(folder, rows):
    file = folder / "questions.jsonl"
    replace_jsonl(file, rows)
    return str(file)


def test_a_row_has_question_answer_prompt_and_all_other_columns(tmp_path):
    args = DataArguments(dataset_name=write(tmp_path, ROWS), answer_pattern=PATTERN)
    questions = load_questions(args, "train")
    assert list(questions["question"]) == ["1+1?", "2+2?", "3+3?", "4+4?", "5+5?"]
    assert list(questions["answer"]) == ["2", "4", "6", "8", "10"]
    assert list(questions["level"]) == [1, 2, 3, 4, 5]  # for a reward that looks at it
    assert questions["prompt"][0] == [
        {"role": "system", "content": R1_ZERO_SYSTEM_PROMPT},
        {"role": "user", "content": "1+1?"},
    ]


def test_max_samples_takes_the_first_rows(tmp_path):
    args = DataArguments(dataset_name=write(tmp_path, ROWS), answer_pattern=PATTERN)
    assert list(load_questions(args, "train", 2)["level"]) == [1, 2]
    assert len(load_questions(args, "train", 100)) == 5


def test_the_identity_of_a_question_depends_on_its_text_and_its_answer_alone(tmp_path):
    rows = [row | {"question_id": 7} for row in ROWS]  # the dataset's own ids may repeat
    args = DataArguments(dataset_name=write(tmp_path, rows), answer_pattern=PATTERN)
    ids = list(load_questions(args, "train")["question_id"])
    assert ids == [question_id(f"{n}+{n}?", str(2 * n)) for n in range(1, 6)]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
    assert len(set(ids)) == 5
    assert question_id("a", "bc") != question_id("ab", "c")


def test_the_columns_of_trl_are_understood_and_a_conversation_is_kept(tmp_path):
    conversation = [{"role": "user", "content": "1+1?"}]
    name = write(tmp_path, [{"prompt": conversation, "solution": "2"}])
    (row,) = load_questions(DataArguments(dataset_name=name), "train")
    assert row["prompt"] == conversation  # without the default system prompt
    assert row["question"] == "1+1?"
    assert row["answer"] == row["solution"] == "2"


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path, caplog):
    rows = [*ROWS, {"question": "?", "answer": "I do not know", "level": 0}]
    args = DataArguments(dataset_name=write(tmp_path, rows), answer_pattern=PATTERN)
    assert len(load_questions(args, "train")) == 5
    assert "1 of 6 rows have no answer in 'answer' and are left out" in caplog.text


@pytest.mark.parametrize(
    ("value", "pattern", "answer"),
    [
        ("so\n#### 72 ", PATTERN, "72"),
        ("no mark", PATTERN, None),
        (None, PATTERN, None),  # the text "None" has no mark either
        (" 72 ", None, "72"),
        (72, None, "72"),  # a column of numbers
        (0, None, "0"),
        (None, None, None),
        ("", None, ""),  # left out later, as `None` is
    ],
)
def test_an_answer_is_the_group_of_the_pattern_or_the_whole_cell(value, pattern, answer):
    compiled = re.compile(pattern) if pattern else None
    assert extract_answer(value, compiled) == answer


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"question_column": "problem"},
            "no column 'problem'; there are: question, answer, level. Write `question_column`",
        ),
        (
            {"answer_column": "gold"},
            "no column 'gold'; there are: question, answer, level. Write `answer_column`",
        ),
        ({"answer_pattern": "@@(.+)"}, "answer_pattern '@@(.+)' matches none of the 5 answers"),
        ({"answer_pattern": "(.)(.)"}, "must have one group, has 2"),
        ({"answer_pattern": "."}, "must have one group, has 0"),
        ({"answer_pattern": "("}, "is not a regular expression"),
        ({"dataset_name": None}, "dataset_name is not set"),
    ],
)
def test_questions_that_cannot_be_found_are_one_clear_line(tmp_path, keys, message):
    args = DataArguments(**{"dataset_name": write(tmp_path, ROWS)} | keys)
    with pytest.raises(UserError) as error:
        load_questions(args, "train")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_without_a_single_answer_is_refused(tmp_path):
    name = write(tmp_path, [{"question": "1+1?", "answer": None}])
    with pytest.raises(UserError, match="column 'answer': has no answers"):
        load_questions(DataArguments(dataset_name=name), "train")


def test_a_split_without_rows_is_refused(tmp_path):
    args = DataArguments(dataset_name=write(tmp_path, ROWS))
    with pytest.raises(UserError, match="split 'train' is empty"):
        load_questions(args, "train", max_samples=0)
