"""`python -m recipes.tools.check`: the audit of a recipe's rewards."""

import sys

from tests.support.commands import run


def test_a_recipe_that_pays_a_wrong_answer_fails_the_check(tmp_path):
    config = tmp_path / "grpo.yaml"
    config.write_text(
        "rewards: [{name: reasoning_gym, strict: false}, {name: format, weight: 0.2}]\n"
    )
    done = run(sys.executable, "-m", "recipes.tools.check", "--config", config)
    assert done.returncode == 1
    assert "<-- a wrong answer is paid by reasoning_gym" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"{config}: ")


def test_answers_that_copy_the_recipes_own_questions_are_cases():
    done = run(
        sys.executable, "-m", "recipes.tools.check", "--config", "recipes/arithmetic/grpo.yaml"
    )
    assert done.returncode == 0
    copied = [line for line in done.stdout.splitlines() if line.startswith("wrong: copied: ")]
    assert len(copied) == 10
    for line in copied:
        assert line.split()[3:] == ["0", "1", "0.2"]  # accuracy, format, and the total
