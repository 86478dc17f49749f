"""Every command in a README or in docs/: its files exist, its options and keys are known."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from recipes.core.config.yaml_files import read_yaml
from recipes.core.launch import cli
from tests.support.commands import ROOT, run

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("recipes/**/*.md"),
    *ROOT.glob("benchmarks/*.md"),
    *ROOT.glob("rewards/*.md"),
]
SHELL_BLOCK = re.compile(r"```(?:bash|sh|shell)\n(.*?)```", re.DOTALL)

# Keys of TRL that documents use without a line in the defaults.
TRL_KEYS = {"report_to", "use_vllm", "vllm_mode", "vllm_server_host", "attn_implementation"}
# Programs that are run as they are, or that need what a test machine lacks.
OTHER_PROGRAMS = {"ruff", "git", "cd", "cp", "pip", "docker", "pytest", "pre-commit", "source"}


def commands():
    """(file, command) of every line in a shell block."""
    found = set()
    for path in DOCUMENTS:
        for block in SHELL_BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip() and not line.strip().startswith("#"):
                    found.add((path.relative_to(ROOT).as_posix(), line.strip()))
    return sorted(found)


@pytest.mark.parametrize(("file", "line"), commands())
def test_every_command_in_a_document_passes_a_dry_run(file, line):
    # A recipe that the reader is told to make is tried as gsm8k.
    words = shlex.split(line.replace("my_recipe", "gsm8k"), comments=True)
    while "=" in words[0]:  # variables before the command
        words = words[1:]
    program = words[0]
    if program.endswith("/launch.sh"):
        check_launch(words[1:])
    elif words[:2] == ["accelerate", "launch"]:
        check_accelerate(words)
    elif program == "make":
        done = run("make", "--dry-run", *words[1:])
        assert done.returncode == 0, done.stderr
    elif words[:2] == ["python", "-m"]:
        check_module(words[2:])
    elif program == "python":
        assert (ROOT / words[1]).is_file()
    elif program in ("vllm", "lm_eval"):  # tried on a student in tests/stages/test_export.py
        assert "outputs/gsm8k/student" in line
    else:
        assert program in OTHER_PROGRAMS, f"no test knows how to try {line!r}"


def check_launch(words):
    if words[0] == "--help":
        return
    if "--dry-run" not in words:
        words = [*words[:2], "--dry-run", *words[2:]]
    assert cli.launch(words) == 0
    check_keys(words[0], words[1], words[2:])


def check_accelerate(words):
    script = next(Path(word) for word in words if word.startswith("recipes/"))
    config = words[words.index("--config") + 1]
    check_keys(script.stem, config, words[words.index(config) + 1 :])


def check_module(words):
    """The module exists and takes the options, which it lists in its help text."""
    path = ROOT / words[0].replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    help_text = module_help(words[0])
    for word in words[1:]:
        if word.startswith("--"):
            assert word.split("=")[0] in help_text, f"{words[0]} has no option {word}"


HELP_TEXTS = {}


def module_help(module):
    if module not in HELP_TEXTS:
        done = run(sys.executable, "-m", module, "--help")
        assert done.returncode == 0, done.stderr
        HELP_TEXTS[module] = done.stdout + subcommand_help(module)
    return HELP_TEXTS[module]


def subcommand_help(module):
    if module != "rewards":
        return ""
    return "".join(
        run(sys.executable, "-m", module, name, "--help").stdout for name in ("score", "audit")
    )


def check_keys(stage, config, words):
    options = {word.strip("`") for word in cli.__doc__.split() if word.startswith("--")}
    defaults = (ROOT / f"recipes/defaults/{stage}.yaml").read_text()
    known = set(re.findall(r"^(\w+):", defaults, re.MULTILINE))
    known |= set(read_yaml(ROOT / config)) | TRL_KEYS
    for word in words:
        option = word.split("=")[0]
        if option.startswith("--") and option != "--" and option not in options:
            assert option[2:].replace("-", "_") in known
