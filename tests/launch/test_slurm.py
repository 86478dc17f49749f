"""The batch script of --slurm, and the refusals before its submission."""

import subprocess

import pytest

from recipes.core.errors import UserError
from recipes.core.launch import slurm
from recipes.core.launch.cli import launch
from recipes.core.launch.request import parse_request
from recipes.core.launch.slurm import render_job
from tests.support.commands import ROOT

GRPO = "recipes/arithmetic/grpo.yaml"
FOUR_NODES = ("--slurm", "--nodes", "4", "--accelerate", "zero3", "--num-processes", "8")
LIMITS = ("--partition", "gpu", "--time", "24:00:00")


def test_the_golden_batch_script(capsys):
    keys = ("--dataset_name", "my data.jsonl")
    arguments = ["grpo", "recipes/gsm8k/grpo.yaml", *FOUR_NODES, *LIMITS, "--dry-run", *keys]
    assert launch(arguments) == 0
    script = capsys.readouterr().out
    golden = (ROOT / "tests/golden/launch/job.sbatch").read_text()
    assert script.replace(str(ROOT), "/repository") == golden
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


@pytest.mark.parametrize(
    ("options", "resources"),
    [
        (["--accelerate", "cpu"], ["--cpus-per-task=1"]),
        (["--accelerate", "cpu_ddp", "--num-processes", "2"], ["--cpus-per-task=2"]),
        (["--accelerate", "single_gpu"], ["--gpus-per-node=1", "--cpus-per-task=4"]),
        (  # the server has a GPU of its own
            ["--accelerate", "zero2", "--num-processes", "2", "--vllm", "server"],
            ["--gpus-per-node=3", "--cpus-per-task=12"],
        ),
    ],
)
def test_a_job_requests_the_gpus_and_cores_of_its_processes(options, resources, tmp_path):
    script = render_job(parse_request(["grpo", GRPO, "--slurm", *options]), tmp_path)
    lines = [line.removeprefix("#SBATCH ") for line in script.splitlines()]
    requested = ("--gpus-per-node", "--cpus-per-task")
    assert [line for line in lines if line.startswith(requested)] == resources


def test_one_node_needs_no_rendezvous_and_gets_every_option_of_the_launcher(tmp_path):
    options = ["--accelerate", "ddp", "--num-processes", "2", "--vllm", "server", "--vllm-gpus"]
    request = parse_request(["grpo", GRPO, "--slurm", *options, "2", "--seed", "7"])
    script = render_job(request, tmp_path)
    command = f"./launch.sh grpo {GRPO} {' '.join(options)} 2 -- --seed 7"
    assert f"bash -c '{command}'\n" in script


@pytest.fixture
def submit(tmp_path, monkeypatch):
    """Submits a job where the stage's check and sbatch end with these exit codes."""
    folder = tmp_path / "run"
    commands = []

    def submit(*exit_codes):
        codes = iter(exit_codes)

        def run(command, **options):
            commands.append(command)
            return subprocess.CompletedProcess(command, next(codes), "job 7\n", "error: wrong\n")

        monkeypatch.setattr(slurm.subprocess, "run", run)
        job = ("--slurm", "--accelerate", "cpu", "--output_dir", str(folder))
        return launch(["grpo", GRPO, *job])

    monkeypatch.setattr(slurm.shutil, "which", lambda name: "/usr/bin/sbatch")
    submit.folder = folder
    submit.commands = commands
    return submit


def test_a_job_is_submitted_once_the_stage_has_accepted_its_configuration(submit, capsys):
    assert submit(0, 0) == 0
    script = submit.folder / "grpo.sbatch"
    check, submission = submit.commands
    assert check[-1] == "--print-config" and submission == ["sbatch", str(script)]
    assert capsys.readouterr().out == f"{script.read_text()}job 7\n"


def test_a_job_that_the_stage_refuses_is_not_submitted(submit):
    with pytest.raises(UserError, match=r"^wrong$"):
        submit(2)
    assert len(submit.commands) == 1 and not submit.folder.exists()


def test_a_job_that_slurm_refuses_ends_with_its_message(submit):
    with pytest.raises(UserError, match=r"^sbatch .*grpo\.sbatch: error: wrong$"):
        submit(0, 1)


def test_without_sbatch_nothing_is_written(submit, monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="there is no `sbatch` on this machine"):
        submit()
    assert not submit.folder.exists()
