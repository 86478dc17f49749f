"""./launch.sh as a whole: the commands that it prints, and the requests that it refuses."""

import shlex
import sys

import pytest

from recipes.core.errors import UserError
from recipes.core.launch.accelerate_configs import ACCELERATE
from recipes.core.launch.cli import launch, main
from recipes.core.launch.request import parse_request
from tests.support.commands import ROOT, run

GRPO = "recipes/arithmetic/grpo.yaml"
GENERATE = "recipes/arithmetic/generate.yaml"
TWO_MACHINES = ["--accelerate", "ddp", "--num-processes", "2", "--nodes", "2"]

_LINES = (ROOT / "tests/golden/launch/commands.txt").read_text().splitlines()
GOLDEN = [
    (shlex.split(requested)[1:], printed)  # without ./launch.sh
    for requested, printed in zip(_LINES[::2], _LINES[1::2], strict=True)
]


@pytest.mark.parametrize(("arguments", "command"), GOLDEN)
def test_a_dry_run_prints_the_golden_command(arguments, command, capsys):
    assert launch([*arguments[:2], "--dry-run", *arguments[2:]]) == 0
    assert capsys.readouterr().out.strip() == command


def test_the_golden_commands_have_every_accelerate_config_on_one_machine_and_on_four():
    covered = set()
    for arguments, _ in GOLDEN:
        config = arguments[arguments.index("--accelerate") + 1]
        covered.add((config, "--nodes" in arguments))
    for name, spec in ACCELERATE.items():
        assert (name, False) in covered
        assert ((name, True) in covered) == (spec.processes != "one")


def test_the_script_prints_the_command_and_does_not_import_torch():
    arguments, command = GOLDEN[0]
    done = run("bash", "launch.sh", *arguments, "--dry-run", PYTHONPROFILEIMPORTTIME="1")
    assert (done.stdout.strip(), done.returncode) == (command, 0), done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "recipes.core.launch.command" in imported
    assert "torch" not in imported


def test_the_script_refuses_in_one_line_with_exit_code_2():
    done = run("bash", "launch.sh", "grop", GRPO)
    assert done.returncode == 2
    assert done.stderr.startswith("launch.sh: unknown stage 'grop'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grpo"], "usage: ./launch.sh STAGE CONFIG"),
        (["grop", GRPO], "there are: evaluate generate grpo on_policy sft"),
        (["grpo", "recipes/arithmetik/grpo.yaml"], "there are: recipes/arithmetic/grpo.yaml"),
        (["grpo", GRPO, "--accelerate", "zero9"], f"there are: {' '.join(sorted(ACCELERATE))}"),
        (["grpo", GRPO, "--num-processes", "many"], "write a number or auto"),
        (["grpo", GRPO, "--accelerate", "cpu", "--num-processes", "2"], "cpu runs one process"),
        (["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "1"], "at least two processes"),
        (["grpo", GRPO, "--accelerate", "ddp"], "no GPU to count; write --num-processes N"),
        (["grpo", GRPO, "--accelerate", "single_gpu"], "there is no GPU to count"),
        (
            ["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "3", "--num_generations", "7"],
            "does not divide the batch",
        ),
        # The batch is that of all machines, not of this one.
        (["grpo", GRPO, *TWO_MACHINES, "--num_generations", "96"], "x processes 4 x"),
        (["grpo", GRPO, *TWO_MACHINES], "write --nodes N --node-rank R --master HOST:PORT on each"),
        (
            ["grpo", GRPO, *TWO_MACHINES, "--node-rank", "2", "--master", "a:1"],
            "2 machines have the ranks 0 to 1",
        ),
        (["grpo", GRPO, *TWO_MACHINES, "--node-rank", "0", "--master", "a"], "write HOST:PORT"),
        (["grpo", GRPO, "--node-rank", "0"], "are for several machines; add --nodes"),
        (
            ["grpo", GRPO, *TWO_MACHINES, "--node-rank", "1", "--master", "no.such.invalid:29500"],
            "cannot resolve the host",
        ),
        (["grpo", GRPO, "--slurm", "--num-processes", "2"], "--slurm: add --accelerate"),
        (["grpo", GRPO, "--slurm", "--accelerate", "zero9"], "unknown accelerate config 'zero9'"),
        (["grpo", GRPO, "--slurm", "--accelerate", "zero2"], "--slurm: add --num-processes"),
        (["grpo", GRPO, "--nodes", "two"], "argument --nodes: invalid int value: 'two'"),
        (["generate", GENERATE, "--vllm", "server"], "`generate` takes `--teacher vllm`"),
        (["grpo", GRPO, "--vllm", "fast"], "argument --vllm: invalid choice"),
    ],
)
def test_the_launcher_refuses_what_it_cannot_start(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("recipes.core.launch.cli.supervise", _must_not_start)
    with pytest.raises(UserError) as refusal:
        launch(arguments)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().err == ""


def _must_not_start(planned):
    raise AssertionError(f"started: {planned}")


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), ([], 2)])
def test_help_lists_every_option(arguments, code, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["launch.sh", *arguments])
    with pytest.raises(SystemExit) as exit_status:
        main()
    assert exit_status.value.code == code
    text = capsys.readouterr().out
    options = set(vars(parse_request(["grpo", GRPO]))) - {"stage", "config", "keys"}
    assert all(f"--{option.replace('_', '-')}" in text for option in options)
