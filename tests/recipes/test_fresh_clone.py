"""The shell commands of README.md, one after the other, as a reader runs them in a fresh clone.

The clone is in a path with spaces. Its .venv borrows the packages of this environment, because a
test cannot download them.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
import yaml

from recipes.core.files import append_jsonl
from tests.recipes.test_commands import SHELL_BLOCK
from tests.support.commands import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICKSTART, TRAIN_YOUR_OWN = SHELL_BLOCK.findall(README)
(DATA_YAML,) = [
    block.partition("```")[0]
    for block in README.split("```yaml\n")[1:]
    if "dataset_name:" in block.partition("```")[0]
]

# A recipe on a few rows: two steps of the smallest models, on a CPU.
CPU = {"dtype": "float32"}
SAMPLING = CPU | {"max_completion_length": 72}
TRAINING = CPU | {"bf16": False, "max_steps": 2, "gradient_accumulation_steps": 1}
MODELS = "recipes/arithmetic/models"
BASE = {"model_name_or_path": f"{MODELS}/base"}
STUDENT_BASE = {"model_name_or_path": f"{MODELS}/student_base"}
SMALL = {
    "grpo": TRAINING | SAMPLING | BASE | {"num_generations": 8},
    "generate": SAMPLING,
    "sft": TRAINING | STUDENT_BASE | {"per_device_train_batch_size": 2},
    "evaluate": SAMPLING | {"models": [f"base={MODELS}/base", "policy", "student"]},
}


@pytest.fixture
def clone(tmp_path):
    """A copy of what git has of this repository, after `make install`."""
    folder = tmp_path / "a path with spaces/reasoning-recipes"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not one that was just deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)

    # What `make install` leaves: an environment with the packages, and with this clone.
    environment = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    paths = f"{sysconfig.get_path('purelib')}\n{folder}\n"
    (site_packages / "borrowed.pth").write_text(paths)
    accelerate = environment / "bin/accelerate"
    accelerate.write_text('#!/bin/sh\nexec python -m accelerate.commands.accelerate_cli "$@"\n')
    accelerate.chmod(0o755)
    (environment / "installed").touch()
    return folder


def in_shell(commands, folder):
    """Runs the lines of README.md in one shell, which ends at the first that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def without_clone(block):
    """The commands after `git clone`, which the fixture stands for."""
    first, _, rest = block.partition("\n")
    assert first.startswith("git clone ") and first.endswith("&& cd reasoning-recipes")
    return rest


def write_rows(folder):
    """data/my_questions.jsonl, as the README describes it."""
    rows = []
    for a in range(10, 50):
        answer = a * 3 + 4
        rows.append({"problem": f"{a}*3+4", "solution": f"First {a * 3}. The answer is {answer}."})
    append_jsonl(folder / "data/my_questions.jsonl", rows)


def shrink(recipe):
    """Gives every stage of a copied recipe the keys of `SMALL`, as its owner would edit it."""
    for stage, keys in SMALL.items():
        file = recipe / f"{stage}.yaml"
        values = yaml.safe_load(file.read_text()) | keys
        for key in ("chat_template", "eval_sets"):
            values.pop(key, None)
        file.write_text(yaml.safe_dump(values))
    (recipe / "data.yaml").write_text(f"{DATA_YAML}system_prompt: ''\n")


def test_the_commands_of_train_your_own_train_a_recipe_on_a_few_rows(clone):
    copy, *rest = TRAIN_YOUR_OWN.strip().split("\n")
    write_rows(clone)
    in_shell(copy, clone)
    shrink(clone / "recipes/my_recipe")
    output = in_shell("\n".join(rest), clone)

    # The audit, the dry run, and the whole demo.
    assert "0 with a problem" in output
    assert "recipes/grpo.py --config recipes/my_recipe/grpo.yaml\n" in output
    scores = json.loads((clone / "outputs/my_recipe/scores.json").read_text())
    assert scores["held_out"]["models"].keys() == {"base", "policy", "student"}
    assert scores["held_out"]["models"]["student"]["n"] == 4  # a tenth of the file


def test_the_commands_of_the_quickstart_lead_to_the_demo(clone):
    # All of them as they are, but the two that need minutes.
    lines = without_clone(QUICKSTART).strip().split("\n")
    slow = ("make demo", "python -m recipes.tools.curves")
    commands = [
        line.replace("make demo", "make --dry-run demo")
        for line in lines
        if not line.startswith(slow[1])
    ]
    assert sum(line.startswith(slow) for line in lines) == 2
    output = in_shell("\n".join(commands), clone)
    assert "./launch.sh grpo" in output and "run all stages of RECIPE" in output


@pytest.mark.slow
def test_all_commands_of_the_readme_work_one_after_the_other(clone):
    write_rows(clone)
    copy, *rest = TRAIN_YOUR_OWN.strip().split("\n")
    in_shell(f"{without_clone(QUICKSTART)}\n{copy}", clone)
    shrink(clone / "recipes/my_recipe")
    in_shell("source .venv/bin/activate\n" + "\n".join(rest), clone)
    scores = json.loads((clone / "outputs/arithmetic/scores.json").read_text())["held_out"]
    assert scores["models"]["student"]["accuracy"] > 0.85
    assert (clone / "docs/images/demo.png").stat().st_mtime > (clone / "README.md").stat().st_mtime
