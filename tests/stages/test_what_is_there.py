"""`evaluate` scores what is there; what is right is decided by any reward, a user's own too."""

import json

import pytest

from recipes.core.errors import UserError
from recipes.core.files import append_jsonl, read_jsonl
from tests.support.commands import stage_here

EVALUATE = "recipes/arithmetic/evaluate.yaml"
GENERATE = "recipes/arithmetic/generate.yaml"
BASE = "recipes/arithmetic/models/base"
# TRL's form: whole columns in, a list of scores out.
OWN = "tests.support.user_rewards:near"

MISSING_SET = "{name: other, dataset_name: no/such/file.jsonl}"
TRAIN_SET = "{name: train, dataset_test_split: train, max_eval_samples: 6}"


def test_a_missing_model_and_a_missing_set_leave_the_others_their_scores(tmp_path, capsys, caplog):
    keys = ("--output_dir", tmp_path, "--max_eval_samples", 10, "--correctness_reward", OWN)
    sets = ("--eval_sets", f"[{MISSING_SET}]")
    stage_here("evaluate", EVALUATE, *keys, *sets, "--models", f"base={BASE}", "policy")

    # The table ends with what it lacks; the same was said before the first model was loaded.
    table = capsys.readouterr().out
    policy, other = table.splitlines()[-2:]
    assert policy.startswith("not scored: policy: models: there is no folder")
    assert other.startswith("not scored: other: ") and "no/such/file.jsonl" in other
    assert caplog.text.count("not scored: ") == 2

    # Documents have the scores of the base, and the reasons.
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores.keys() == {"held_out", "sampling"}
    assert scores["held_out"]["models"].keys() == {"base"}
    manifest = json.loads((tmp_path / "scores.manifest.json").read_text())
    assert manifest["not_scored"].keys() == {"policy", "other"}

    # The reward pays halves too, which are not right.
    rows = read_jsonl(tmp_path / "completions/held_out/base.jsonl")
    assert {row["correct"] for row in rows} <= {0.0, 0.5, 1.0}


def test_without_its_held_out_questions_the_table_is_that_of_the_first_other_set(tmp_path, capsys):
    keys = ("--output_dir", tmp_path, "--dataset_test_split", "nowhere")
    models = ("--models", f"base={BASE}", "hub=no-such/model")
    stage_here("evaluate", EVALUATE, *keys, *models, "--eval_sets", f"[{TRAIN_SET}]")
    table = capsys.readouterr().out
    assert "| train accuracy (95 % interval) |" in table
    assert "not scored: held_out: " in table
    assert (
        "not scored: hub: model_name_or_path 'no-such/model': cannot load" in table
    )  # found only when it is loaded


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("--models", "policy"), "models: there is no folder '.*policy'"),
        (("--dataset_test_split", "nowhere", "--eval_sets", "[]"), "no split 'nowhere'"),
        (("--correctness_reward", "{name: exact"), "correctness_reward is not valid YAML"),
        (("--correctness_reward", "{name: exact, fold: 1}"), "'exact' has no parameter 'fold'"),
        (("--correctness_reward", "no_such.module:reward"), "cannot import 'no_such.module"),
    ],
)
def test_an_evaluation_that_can_score_nothing_is_one_line(tmp_path, keys, message):
    with pytest.raises(ValueError, match=message) as raised:
        stage_here(
            "evaluate", EVALUATE, "--output_dir", tmp_path, "--models", f"base={BASE}", *keys
        )
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "scores.json").exists()


def test_a_set_whose_answers_the_reward_cannot_read_leaves_the_others_their_scores(
    tmp_path, capsys
):
    append_jsonl(tmp_path / "set.jsonl", [{"question": "1*2+3", "answer": "five"}])
    unreadable = f"{{name: words, dataset_name: {tmp_path}/set.jsonl, dataset_test_split: train}}"
    keys = ("--output_dir", tmp_path, "--max_eval_samples", 5, "--eval_sets", f"[{unreadable}]")
    reward = "{name: tests.support.user_rewards:NumbersOnly, tolerance: 0.5}"
    models = ("--models", f"base={BASE}")
    stage_here("evaluate", EVALUATE, *keys, *models, "--correctness_reward", reward)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("not scored: base on words: none of the gold answers can be scored")


def test_a_users_own_reward_selects_the_traces(tmp_path):
    keys = ("--output_dir", tmp_path, "--model_name_or_path", BASE, "--max_train_samples", 60)
    reward = "{name: tests.support.user_rewards:any_answer, bonus: 1}"
    try:
        stage_here("generate", GENERATE, *keys, "--correctness_reward", reward)
    except UserError as error:  # the untrained base may have no well-formed sample
        assert "60 right" in str(error)
    rows = read_jsonl(tmp_path / "generations.jsonl")
    assert len(rows) == 60 and all(row["correct"] == 1.0 for row in rows)
