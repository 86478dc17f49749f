"""What an evaluation leaves out, and when it ends in an error."""

from pathlib import Path

import pytest

from recipes.core.errors import UserError
from recipes.core.evaluation import NotScored
from recipes.core.preflight.evaluated_models import list_models


@pytest.fixture
def run_dir(tmp_path):
    """A run with a policy, and the folder of a student whose training has just begun."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/config.json").write_text("{}")
    (tmp_path / "student/checkpoint-1").mkdir(parents=True)
    return tmp_path


def test_models_that_are_not_there_yet_are_left_out_with_a_reason_each(run_dir):
    not_scored = NotScored()
    entries = ["policy", "student", f"old={run_dir}/nowhere", "hub=org/name", "far=http://h/v1#m"]
    models = list_models(entries, None, run_dir, not_scored)
    assert [model.name for model in models] == ["policy", "hub", "far"]
    student, old = not_scored.lines()
    assert student.startswith("not scored: student: models: ") and "has no model" in student
    assert old.startswith("not scored: old: models: there is no folder")


def test_an_artefact_of_the_run_is_a_folder_and_never_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    not_scored = NotScored()
    assert list_models(["policy"], None, Path("out"), not_scored) == []
    assert not_scored.lines() == ["not scored: policy: models: there is no folder 'out/policy'"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "models is not set"),
        (["policy", "policy"], "needs a unique name"),
        (["=somewhere"], "needs a unique name"),
        (["policy", "far=http://h/v1"], "lacks the model's name"),  # wrong today and tomorrow
    ],
)
def test_a_mistake_in_the_list_of_models_is_an_error(run_dir, entries, message):
    with pytest.raises(UserError, match=message):
        list_models(entries, None, run_dir, NotScored())


def test_the_error_of_an_evaluation_without_scores_has_every_reason_once():
    not_scored = NotScored()
    for name, reason in (("a", "no folder a"), ("b", "no data"), ("c", "no data")):
        with not_scored.instead_of_error(name):
            raise UserError(reason)
    with pytest.raises(UserError, match=r"^no folder a; no data$"):
        not_scored.raise_all()


def test_a_bug_is_no_missing_model():
    with pytest.raises(ZeroDivisionError), NotScored().instead_of_error("a"):
        _ = 1 / 0
