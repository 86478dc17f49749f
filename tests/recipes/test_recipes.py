"""Every recipe, every YAML, every command in a README: complete, and understood by the scripts."""

import re
import shlex
import sys

import pytest
import yaml

from recipes.core.config.config import load_config
from recipes.core.config.stage import RunArguments
from recipes.core.config.yaml_files import read_yaml
from recipes.core.launch import cli
from recipes.tools import check
from rewards import build_rewards
from rewards.__main__ import make_parser, parse_reward_option
from tests.support.commands import ROOT, run

STAGES = ("grpo", "generate", "sft", "evaluate")
RECIPES = sorted(path.parent for path in ROOT.glob("recipes/*/README.md"))
YAMLS = sorted(ROOT.glob("recipes/*/*.yaml"))


def test_every_recipe_has_the_same_files():
    assert [path.name for path in RECIPES] == ["arithmetic", "gsm8k"]
    assert len(YAMLS) == 4 * (len(RECIPES) + 1)  # and the defaults
    for recipe in RECIPES:
        assert {path.name for path in recipe.glob("*.yaml")} == {
            f"{stage}.yaml" for stage in STAGES
        }


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_yaml_is_understood_by_its_stage(path, monkeypatch):
    from trl import DistillationConfig, GRPOConfig, ModelConfig, SFTConfig

    from recipes.core.distillation.select_traces import TraceArguments
    from recipes.core.generation.samplers import EndpointArguments, SamplerArguments
    from recipes.core.generation.sampling import SamplingArguments
    from recipes.evaluate import EvaluateArguments
    from recipes.generate import GenerateArguments
    from recipes.grpo import GRPOArguments
    from recipes.on_policy import METHODS, OnPolicyArguments, load
    from recipes.sft import SFTArguments

    keys = {
        "grpo": (GRPOArguments, ModelConfig, GRPOConfig),
        "generate": (
            GenerateArguments,
            SamplingArguments,
            SamplerArguments,
            TraceArguments,
            ModelConfig,
            RunArguments,
        ),
        "sft": (SFTArguments, ModelConfig, SFTConfig),
        "on_policy": (OnPolicyArguments, ModelConfig, DistillationConfig),
        "evaluate": (
            EvaluateArguments,
            SamplingArguments,
            EndpointArguments,
            ModelConfig,
            RunArguments,
        ),
    }  # fmt: skip
    monkeypatch.chdir(ROOT)
    for method in METHODS if path.stem == "sft" else [None]:
        classes = keys["on_policy" if method == "on_policy" else path.stem]
        argv = ["--config", str(path)]
        if method:
            config = load(SFTArguments, [*argv, "--distillation", method])
        else:
            config = load_config(path.stem, *classes, argv=argv)
        for cls in classes:
            config.parse_training(cls)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_recipe_repeats_a_value_that_it_inherits(path):
    values = yaml.safe_load(path.read_text())
    if "extends" in values:
        inherited = yaml.safe_load((path.parent / values["extends"]).read_text())
        for own, base in (
            (values, inherited),
            (values.get("on_policy", {}), inherited.get("on_policy", {})),
        ):
            assert [key for key, value in own.items() if key in base and base[key] == value] == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_an_ideal_trace_earns_the_sum_of_the_positive_weights_and_no_completion_that_cheats_does(
    recipe, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["check", "--config", str(recipe / "grpo.yaml")])
    check.main()  # raises SystemExit where a completion that cheats is paid
    _, ideal, *cases, summary = capsys.readouterr().out.splitlines()
    positive = sum(
        max(0.0, entry["weight"]) for entry in read_yaml(recipe / "grpo.yaml")["rewards"]
    )
    assert ideal.startswith("ideal ") and float(ideal.split()[-1]) == pytest.approx(positive)
    assert len(cases) > 30 and all(float(case.split()[-1]) < positive for case in cases)
    assert summary.endswith(", 0 with a problem")


COMMANDS = sorted(
    {
        (path.relative_to(ROOT).as_posix(), line.strip())
        for path in [*ROOT.glob("*.md"), *ROOT.glob("recipes/**/*.md"), ROOT / "rewards/README.md"]
        for block in re.findall(r"```(?:bash|sh|shell)\n(.*?)```", path.read_text(), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.strip().startswith("#")
    }
)


@pytest.mark.parametrize(("file", "line"), COMMANDS)
def test_every_command_in_a_readme_passes_a_dry_run(file, line):
    # A recipe that the reader is told to copy from gsm8k is tried as gsm8k.
    words = shlex.split(line.replace("recipes/my_recipe/", "recipes/gsm8k/"), comments=True)
    if words[0] == "./launch.sh":
        done = run("bash", "launch.sh", *words[1:3], "--dry-run", *words[3:])
        assert done.returncode == 0, done.stderr
        _keys_are_known(words[1], words[2], words[3:])
    elif words[:2] == ["accelerate", "launch"]:
        script = next(i for i, word in enumerate(words) if word.startswith("recipes/"))
        config = words[words.index("--config") + 1]
        _keys_are_known(
            words[script].split("/")[1].removesuffix(".py"),
            config,
            words[words.index(config) + 1 :],
        )
    elif words[0] == "make":
        done = run("make", "--dry-run", *words[1:])
        assert done.returncode == 0, done.stderr
    elif words[:3] == ["python", "-m", "rewards"]:
        arguments = make_parser().parse_args(words[3:])
        assert arguments.reward
        build_rewards([parse_reward_option(option) for option in arguments.reward])
    elif words[0] in (
        "vllm",
        "lm_eval",
    ):  # optional packages, tried on a student in tests/stages/test_export.py
        assert "outputs/gsm8k/student" in line
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file()
        assert "--config" not in words or (ROOT / words[words.index("--config") + 1]).is_file()
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
    else:
        assert words[0] in {"git", "cd", "cp", "pip"}, f"no test knows how to try {line!r}"


def _keys_are_known(stage, config, rest):
    own = {word.strip("`") for word in cli.__doc__.split() if word.startswith("--")}
    known = set(
        re.findall(
            r"^ *(\w+):", (ROOT / f"recipes/defaults/{stage}.yaml").read_text(), re.MULTILINE
        )
    )
    known |= set(read_yaml(ROOT / config))
    known |= {
        "output_dir",
        "dataset_name",
        "model_name_or_path",
        "seed",
        "report_to",
        "resume_anyway",
    }
    for word in rest:
        if word.startswith("--") and word.split("=")[0] not in own:
            assert word[2:].split("=")[0] in known
