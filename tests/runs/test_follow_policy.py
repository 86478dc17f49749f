"""Later stages ask the policy's questions in the policy's form; what differs is said."""

import importlib

import pytest

from recipes.core.config import load_config
from recipes.core.data.questions import DataArguments
from recipes.core.files import write_json
from recipes.core.preflight.splits import warn_of_training_questions
from recipes.core.runs import follow_policy

TRAINED = {
    "dataset_name": "questions.jsonl",
    "dataset_train_split": "train[:90%]",
    "system_prompt": "",
    "chat_template": "mine.jinja",
    "max_train_samples": 7,
}


@pytest.fixture
def out(tmp_path):
    """The folder of a run whose policy was trained on `TRAINED`."""
    write_json(tmp_path / "policy/manifest.json", {"stage": "grpo", "config": TRAINED})
    return tmp_path


def load(name, out, *words, keys=None):
    stage = importlib.import_module(f"recipes.{name}").STAGE
    config = load_config(stage, ["--output_dir", str(out), *words])
    follow_policy(config, **({"keys": keys} if keys else {}))
    return config


@pytest.mark.parametrize("name", ["generate", "evaluate", "on_policy"])
def test_what_is_written_nowhere_is_as_it_was_for_the_policy(name, out, caplog):
    with caplog.at_level("INFO"):
        args = load(name, out).parse(DataArguments)
    assert args.dataset_name == "questions.jsonl"
    assert (args.system_prompt, args.chat_template) == ("", "mine.jinja")
    assert args.max_train_samples is None  # a limit is the business of each stage
    assert "dataset_name: questions.jsonl" in caplog.text


def test_a_line_of_the_defaults_is_not_written_by_the_user(out):
    defaults = "recipes/defaults/generate.yaml"
    args = load("generate", out, "--config", defaults).parse(DataArguments)
    assert (args.dataset_name, args.system_prompt) == ("questions.jsonl", "")


def test_what_is_written_wins_and_the_difference_is_said(out, caplog):
    args = load("generate", out, "--system_prompt", "Think.").parse(DataArguments)
    assert (args.dataset_name, args.system_prompt) == ("questions.jsonl", "Think.")
    assert "system_prompt is 'Think.' here, and was '' when the policy was trained" in caplog.text
    caplog.clear()
    load("generate", out, "--dataset_name", "questions.jsonl")
    assert "when the policy was trained" not in caplog.text  # the same value is no difference


def test_a_named_policy_counts_before_that_of_the_run(out, tmp_path):
    named = tmp_path / "another"
    config = TRAINED | {"dataset_name": "other.jsonl"}
    write_json(named / "manifest.json", {"stage": "grpo", "config": config})
    args = load("generate", out, "--model_name_or_path", str(named)).parse(DataArguments)
    assert args.dataset_name == "other.jsonl"


def test_sft_takes_the_template_and_never_the_dataset(out):
    config = load("sft", out, keys=("chat_template",))
    assert config.keys.values == {"chat_template": "mine.jinja"}


def test_the_template_is_the_one_that_is_saved_with_the_policy(out, caplog):
    (out / "policy/chat_template.jinja").touch()
    args = load("evaluate", out).parse(DataArguments)
    assert args.chat_template == str(out / "policy/chat_template.jinja")
    assert "when the policy was trained" not in caplog.text


def test_without_a_policy_nothing_changes(tmp_path, caplog):
    assert load("generate", tmp_path).keys.values == {}
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "words", "warned"),
    [
        ("evaluate", ("--dataset_test_split", "train[:90%]"), True),
        ("evaluate", ("--dataset_test_split", "train"), True),  # the slice is a part of it
        ("evaluate", ("--dataset_test_split", "train[90%:]"), False),  # the rest
        ("evaluate", ("--dataset_test_split", "test"), False),
        # Another dataset has other questions.
        ("evaluate", ("--dataset_test_split", "train", "--dataset_name", "aime"), False),
        ("generate", ("--dataset_test_split", "train"), True),
        # The split that this training reads counts, not that of an earlier one.
        ("grpo", ("--dataset_name", "x", "--dataset_test_split", "train"), True),
        ("grpo", ("--dataset_name", "questions.jsonl", "--dataset_test_split", "test"), False),
    ],
)
def test_a_held_out_split_that_was_trained_on_is_said(out, caplog, name, words, warned):
    warn_of_training_questions(load(name, out, *words))
    assert ("so that scores tell what was memorised" in caplog.text) == warned
