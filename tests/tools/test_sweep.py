"""`python -m recipes.tools.sweep`: students of several sizes on the same traces."""

import sys

import pytest

from recipes.core.errors import UserError
from recipes.core.files import append_jsonl
from recipes.tools import sweep
from recipes.tools.sweep import Student, name_students, plot, table
from tests.support.commands import answered, ok, run
from tests.tools.quick_recipe import make_quick_recipe

MODELS = ("recipes/arithmetic/models/base", "recipes/arithmetic/models/student_base")


@pytest.mark.slow
def test_sweep_trains_each_student_and_compares_accuracy_with_cost(tmp_path):
    recipe = make_quick_recipe(tmp_path)
    out = tmp_path / "out"
    traces = []
    for n in range(10, 90):
        prompt = [{"role": "user", "content": f"{n}*3+1"}]
        completion = f"<think>{n}</think><answer>{3 * n + 1}</answer>"
        traces.append({"prompt": prompt, "completion": completion})
    append_jsonl(out / "traces.jsonl", traces)

    command = (sys.executable, "-m", "recipes.tools.sweep", "--recipe", recipe)
    done = ok(run(*command, "--output_dir", out, "--students", *MODELS))
    smaller, larger = done.stdout.splitlines()[2:]
    assert smaller.startswith("| student_base | 0.114 M |")
    assert larger.startswith("| base | 0.445 M |")
    assert "1.8 MB" in larger
    assert (out / "sweep/sweep.md").read_text() == done.stdout
    assert (out / "sweep/sweep.png").is_file()


def run_sweep(monkeypatch, folder, *students):
    argv = ["sweep", "--recipe", "arithmetic", "--output_dir", str(folder), "--students", *students]
    monkeypatch.setattr(sys, "argv", argv)
    sweep.main()


def test_a_run_without_traces_is_an_error_that_names_the_command(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="run `make generate RECIPE=arithmetic` first"):
        run_sweep(monkeypatch, tmp_path, *MODELS)


def test_a_student_that_does_not_exist_is_an_error_before_anything_is_trained(
    tmp_path, monkeypatch
):
    append_jsonl(tmp_path / "traces.jsonl", [{"prompt": [], "completion": answered("1")}])
    with pytest.raises(UserError, match="there is no folder"):
        run_sweep(monkeypatch, tmp_path, *MODELS, "nowhere/at/all")
    assert not (tmp_path / "sweep").exists()


def test_students_need_names_of_their_own():
    assert name_students(list(MODELS)) == {"base": MODELS[0], "student_base": MODELS[1]}
    with pytest.raises(UserError, match="two of them have the same name"):
        name_students([MODELS[0], MODELS[0]])


def test_the_table_and_the_plot_hold_every_student(tmp_path):
    scores = {
        "parameters": 454_000,
        "accuracy": 0.9,
        "ci95": [0.85, 0.95],
        "format": 1.0,
        "mean_length": 50.0,
        "weights_mb": 1.8,
    }
    students = [Student("base", scores, answer_seconds=0.0004, train_seconds=20.4)]
    row = table(students).splitlines()[2]
    cells = "base | 0.454 M | 0.900 | 0.850 to 0.950 | 1.000 | 50.0 | 0.40 | 1.8 MB | 20 s"
    assert row == f"| {cells} |"
    plot(students, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
