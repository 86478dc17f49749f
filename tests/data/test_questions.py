"""Rows of any dataset become questions: text, answer, prompt and identity."""

import inspect
import re

import pytest
from trl import GRPOTrainer

from recipes.core.data.answers import extract_answer
from recipes.core.data.columns import TRL_COLUMNS
from recipes.core.data.questions import DataArguments, load_questions, question_id
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
        (None, PATTERN, None),
        (" 72 ", None, "72"),
        (72, None, "72"),  # a column of numbers
        (0, None, "0"),
        (None, None, None),
        ("", None, None),
        (["#### 1", "?", "#### 2"], PATTERN, ["1", "2"]),  # of several, each
        ([" "], None, None),
        ("no", "(yes)?", None),  # it matches, but its group does not
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


def load(folder, rows, needs_answer=True, **keys):
    args = DataArguments(**{"dataset_name": write(folder, rows)} | keys)
    return load_questions(args, "train", needs_answer=needs_answer)


@pytest.mark.parametrize(
    ("golds", "texts"),
    [
        ([0, 1, 2, 0], ["0", "1", "2", "0"]),  # a zero is an answer
        ([0.0, 0.5], ["0.0", "0.5"]),
        ([True, False], ["true", "false"]),  # and so is a no
        (["NA", "null", "007"], ["NA", "null", "007"]),
        ([1, 2.5, "x", False], ["1", "2.5", "x", "false"]),
        (["2024-05-01"], ["2024-05-01"]),
        ([["10,000"], ["7"]], ["10,000", "7"]),
        ([["a", 2], ["7"]], [["a", "2"], ["7"]]),
    ],
)
def test_a_column_that_is_called_answer_and_is_no_text_is_kept(tmp_path, golds, texts):
    rows = [{"question": f"{n}?", "answer": gold} for n, gold in enumerate(golds)]
    questions = load(tmp_path, rows)
    assert list(questions["answer"]) == texts
    assert list(questions["question_id"]) == [
        question_id(f"{n}?", text) for n, text in enumerate(texts)
    ]


def test_other_columns_keep_their_types_beside_a_gold_that_becomes_text(tmp_path):
    (row,) = load(tmp_path, [{"question": "?", "gold": 0, "level": 2.5}], answer_column="gold")
    assert (row["answer"], row["gold"], row["level"]) == ("0", 0, 2.5)


@pytest.mark.parametrize(("answer_is", "column"), [(None, "any"), ("set", "set"), ("list", "list")])
def test_rewards_are_told_what_several_answers_mean(tmp_path, caplog, answer_is, column):
    rows = [{"question": "?", "answer": ["1", "2"]}, {"question": "!", "answer": ["3"]}]
    assert list(load(tmp_path, rows, answer_is=answer_is)["answer_is"]) == [column, column]
    assert ("one of them is enough" in caplog.text) == (answer_is is None)


def test_another_meaning_of_several_answers_is_refused(tmp_path):
    with pytest.raises(UserError, match="answer_is is 'all'; write any, set, list"):
        load(tmp_path, [{"question": "?", "answer": ["1", "2"]}], answer_is="all")


NESTED = [
    {
        "prompt": [{"role": "user", "content": "1+1?"}],
        "reward_model": {"ground_truth": 2, "style": "rule"},  # verl's
        "info": '{"ground_truth": "2"}',  # JSON in a text, as SYNTHETIC-1 has it
        "turns": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}],
        "a.b": "2",
    }
]


@pytest.mark.parametrize(
    "path", ["reward_model.ground_truth", "info.ground_truth", "turns.1.value", "turns.-1.value"]
)
def test_a_nested_gold_is_found_by_its_path(tmp_path, path):
    (row,) = load(tmp_path, NESTED, answer_column=path)
    assert (row["question"], row["answer"]) == ("1+1?", "2")


def test_a_name_with_a_dot_may_be_a_column_and_a_question_may_be_nested(tmp_path):
    (row,) = load(tmp_path, NESTED, answer_column="a.b", question_column="turns.0.value")
    assert (row["question"], row["answer"]) == ("1+1?", "2")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("reward_model", "row 1: holds a mapping with the keys ground_truth, style"),
        ("reward_model.gold", "is in no row; 'reward_model' has: ground_truth, style"),
        ("reward_model.style.name", "'reward_model.style' holds no mapping"),
        ("turns.2.value", "'turns' holds no mapping"),
        ("info.gold", "'info' has: ground_truth"),
        ("gold.value", "there is no column 'gold.value'; there are: prompt, reward_model"),
    ],
)
def test_a_gold_that_is_elsewhere_is_one_line_with_the_keys(tmp_path, column, message):
    with pytest.raises(UserError) as error:
        load(tmp_path, NESTED, answer_column=column)
    assert message in str(error.value)
    assert "questions.jsonl" in str(error.value)


@pytest.mark.parametrize("rows", [[{"question": "1?"}], [{"question": "1?", "answer": None}]])
def test_rows_without_golds_are_for_rewards_that_need_none(tmp_path, rows):
    (row,) = load(tmp_path, rows, needs_answer=False)
    assert row["answer"] is None
    assert row["question_id"] == question_id("1?", None)
    with pytest.raises(UserError, match="answer"):
        load(tmp_path, rows)


def test_a_pattern_for_golds_is_no_reason_to_need_them(tmp_path):
    rows = [{"prompt": "1?"}]
    assert load(tmp_path, rows, needs_answer=False, answer_pattern=PATTERN)["answer"][0] is None


def test_golds_that_are_named_are_needed(tmp_path):
    with pytest.raises(UserError, match="no column 'gold'"):
        load(tmp_path, [{"question": "1?"}], needs_answer=False, answer_column="gold")


def test_a_plain_text_in_trls_column_stays_plain(tmp_path, caplog):
    caplog.set_level("INFO")
    (row,) = load(tmp_path, [{"prompt": " Once upon", "answer": "a"}])
    assert row["prompt"] == row["question"] == " Once upon"  # not even stripped
    assert "continued as they are, without a chat; to ask them in a chat, write" in caplog.text


@pytest.mark.parametrize(("system_prompt", "length"), [(None, 2), ("Be brief.", 2), ("", 1)])
def test_the_same_text_is_asked_in_a_chat_where_the_recipe_names_its_column(
    tmp_path, system_prompt, length
):
    rows = [{"prompt": "1+1?", "answer": "2"}]
    (row,) = load(tmp_path, rows, question_column="prompt", system_prompt=system_prompt)
    assert len(row["prompt"]) == length
    assert row["prompt"][-1] == {"role": "user", "content": "1+1?"}


def test_a_system_prompt_for_plain_texts_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"without `system_prompt`; .* `question_column: prompt`"):
        load(tmp_path, [{"prompt": "1+1?", "answer": "2"}], system_prompt="Be brief.")


USER = {"role": "user", "content": "1+1?"}
SOLVED = {"role": "assistant", "content": "2"}


@pytest.mark.parametrize(
    ("conversation", "prompt"),
    [
        ([USER, SOLVED], [USER]),  # NuminaMath's `messages`
        ([USER, SOLVED, SOLVED], [USER]),
        ([USER, SOLVED, USER], [USER, SOLVED, USER]),  # an example before the question
        ([USER, SOLVED, USER, SOLVED], [USER, SOLVED, USER]),
        ([{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}], [USER]),  # ShareGPT
        ([USER, {"role": "model", "content": "2"}], [USER]),  # Gemma's name
        ([{"role": "user", "content": [{"type": "text", "text": "1+1?"}]}], [USER]),
        (USER, [USER]),  # a message alone
    ],
)
def test_a_conversation_does_not_show_its_answer(tmp_path, caplog, conversation, prompt):
    (row,) = load(tmp_path, [{"messages": conversation, "answer": "2"}], question_column="messages")
    assert row["prompt"] == prompt
    assert row["question"] == "1+1?"
    is_cut = isinstance(conversation, list) and len(conversation) > len(prompt)
    assert ("1 of 1 conversations end with the assistant's turn" in caplog.text) == is_cut


@pytest.mark.parametrize(
    "empty", [None, "", " \n", [], [SOLVED], [{"role": "user", "content": None}]]
)
def test_a_row_that_asks_nothing_is_left_out_and_counted(tmp_path, caplog, empty):
    asked = [USER] if isinstance(empty, list) else "1+1?"
    rows = [{"question": asked, "answer": "2"}, {"question": empty, "answer": "3"}]
    assert list(load(tmp_path, rows)["answer"]) == ["2"]
    assert "1 of 2 rows have no question, the first is row 2; they are left out" in caplog.text


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (["1?", None], None),
        ([None, None], "column 'question': has no questions"),
        ([1, 2], "column 'question', row 1: holds the value 1; a question is a text"),
        ([True], "row 1: holds the value True"),
        ([{"text": "1?"}], "row 1: holds a mapping with the keys text"),
        (["1?", 7], "row 2: holds the value 7"),
        ([["1?"]], "row 1: holds a list whose element 1 is no message with `role`"),
        ([[{"role": "user", "content": 7}]], "a list whose message 1 has no text as `content`"),
    ],
)
def test_a_question_that_is_no_text_is_one_line(tmp_path, questions, message):
    rows = [{"question": question, "answer": "2"} for question in questions]
    if message is None:
        assert len(load(tmp_path, rows)) == 1
        return
    with pytest.raises(UserError) as error:
        load(tmp_path, rows)
    assert message in str(error.value)
    assert "questions.jsonl" in str(error.value)


def test_plain_texts_and_conversations_do_not_mix(tmp_path):
    rows = [{"prompt": prompt, "answer": "2"} for prompt in ("1+1?", [USER])]
    with pytest.raises(UserError, match="some rows are plain texts and others conversations"):
        load(tmp_path, rows)
    assert len(load(tmp_path, rows, question_column="prompt")) == 2  # there, both are chats


@pytest.mark.parametrize("name", sorted(TRL_COLUMNS))
def test_a_column_that_trl_gives_a_meaning_to_is_left_out_with_a_word(tmp_path, caplog, name):
    (row,) = load(tmp_path, [{"question": "1?", "answer": "2", name: "x", "level": 3}])
    assert name not in row
    assert row["level"] == 3
    assert f"left out: {name}" in caplog.text
    # It may still hold the answers.
    (row,) = load(tmp_path, [{"question": "1?", name: "x"}], answer_column=name)
    assert row["answer"] == "x"


def test_the_columns_of_trl_are_those_that_its_trainer_passes_to_rewards():
    source = inspect.getsource(GRPOTrainer._calculate_rewards)
    passed = set(re.findall(r'reward_kwargs\["(\w+)"\] =', source))
    passed |= set(re.findall(r"(\w+)=(?:prompts|completions|completion_ids_list)\b", source))
    assert len(passed) >= 6
    assert passed <= TRL_COLUMNS | {"prompt"}  # which is ours
