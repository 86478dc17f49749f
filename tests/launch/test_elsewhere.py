"""launch.sh from any folder and in any environment."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from setuptools import find_namespace_packages

from recipes.core.launch.cli import launch
from tests.support.commands import ROOT

EVALUATE = "recipes/arithmetic/evaluate.yaml"
PACKAGES = ("recipes", "rewards", "accelerate_configs")
OPTIONS = ("--accelerate", "cpu", "--dry-run")


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    return folder


def launch_sh(script, folder, *words, path=os.environ["PATH"], **environment):
    return subprocess.run(
        [script, *words],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
    )


def test_a_link_to_the_launcher_starts_the_code_beside_it_from_another_folder(elsewhere):
    link = elsewhere / "launch"
    link.symlink_to(ROOT / "launch.sh")
    # A module of the user's own with the name of one of ours does not take its place.
    (elsewhere / "recipes").mkdir()
    (elsewhere / "recipes/__init__.py").write_text("raise SystemExit('the wrong recipes')")
    done = launch_sh(link, elsewhere, "evaluate", EVALUATE, *OPTIONS)
    config = f"--config_file {ROOT}/accelerate_configs/cpu.yaml"
    stage = f"{ROOT}/recipes/evaluate.py --config {ROOT}/{EVALUATE}"
    command = f"accelerate launch --quiet {config} --num_processes 1 {stage}\n"
    assert (done.stdout, done.stderr) == (command, "")


def test_a_script_runs_the_code_beside_it_and_not_what_is_installed(elsewhere):
    for package in ("recipes", "rewards"):
        (elsewhere / "installed" / package).mkdir(parents=True)
        (elsewhere / "installed" / package / "__init__.py").write_text("raise SystemExit('wrong')")
    done = subprocess.run(
        [sys.executable, ROOT / "recipes/generate.py", "--help"],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(elsewhere / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Rejection sampling" in done.stdout, done.stderr


@pytest.fixture
def system_path(tmp_path):
    """A PATH with the tools of a shell and, as `python`, one that has no packages."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname", "readlink"):
        (folder / name).symlink_to(shutil.which(name))
    (folder / "env").symlink_to(shutil.which("env"))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    return str(folder)


@pytest.fixture
def repository(elsewhere):
    """The launcher and its modules in a path with spaces, without an environment."""
    folder = elsewhere / "repository"
    folder.mkdir()
    shutil.copy(ROOT / "launch.sh", folder)
    for name in PACKAGES:
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_without_an_environment_it_says_how_to_make_one(repository, elsewhere, system_path):
    done = launch_sh(
        repository / "launch.sh", elsewhere, "evaluate", EVALUATE, *OPTIONS, path=system_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"make -C '{repository}' install" in line and f"pip install -e '{repository}'" in line


@pytest.mark.parametrize("unrelated", [None, "VIRTUAL_ENV", "CONDA_PREFIX"])
def test_it_finds_the_environment_of_make_install(repository, elsewhere, system_path, unrelated):
    (repository / ".venv/bin").mkdir(parents=True)
    python = repository / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # An environment of another project, which is activated, lacks the packages.
    variables = {unrelated: str(elsewhere)} if unrelated else {}
    done = launch_sh(
        repository / "launch.sh",
        elsewhere,
        "evaluate",
        EVALUATE,
        *OPTIONS,
        path=system_path,
        **variables,
    )
    assert done.stdout.startswith("accelerate launch "), done.stderr


def test_a_job_runs_in_the_folder_that_it_was_submitted_from(elsewhere, monkeypatch, capsys):
    monkeypatch.chdir(elsewhere)
    assert launch(["evaluate", EVALUATE, "--slurm", *OPTIONS]) == 0
    script = capsys.readouterr().out
    assert f"\ncd '{elsewhere}'\n" in script
    assert f"#SBATCH --output='{elsewhere}/outputs/arithmetic/slurm-%j.txt'\n" in script
    assert f"{ROOT}/launch.sh evaluate {ROOT}/{EVALUATE} --accelerate cpu" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def make_install(python: str) -> "subprocess.CompletedProcess[str]":
    words = ["make", "--dry-run", "install", f"PYTHON={python}", "VENV=/no/such/folder"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_an_old_python_is_refused_before_anything_is_downloaded(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text("#!/bin/sh\necho\n")  # what the check prints for an old version: nothing
    old.chmod(0o755)
    refused = make_install(str(old))
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 2 and "older than 3.11" in line and "PYTHON=python3.12" in line
    assert "pip install" not in refused.stdout
    assert "pip install" in make_install(sys.executable).stdout


def test_what_the_stages_read_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = settings["packages"]["find"]
    packages = set(find_namespace_packages(str(ROOT), found["exclude"], found["include"]))
    patterns = settings["package-data"]["*"] + ["*.py"]
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    left_out = []
    for file in [path.relative_to(ROOT) for path in files]:
        if "__pycache__" in file.parts or file.match("models/*/training/*"):  # made here
            continue
        is_data = any(file.match(pattern) for pattern in patterns)
        if not is_data or ".".join(file.parent.parts) not in packages:
            left_out.append(file.as_posix())
    assert all(file.endswith(".md") for file in left_out), left_out
