"""Several machines: two network namespaces with a cable between them, and a real Slurm. For root; skipped where that is not so."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from recipes.core.runtime.stopping import LOST
from recipes.core.runtime.watchdog import SILENCE_LIMIT
from tests.support.commands import ROOT, latest, ok, run

SFT = "recipes/arithmetic/sft.yaml"
PORT = 29611


def can_make_networks() -> bool:
    if shutil.which("ip") is None or os.geteuid():
        return False
    made = run("ip", "netns", "add", "try-recipes").returncode == 0
    return made and run("ip", "netns", "del", "try-recipes").returncode == 0


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two network namespaces, 10.78.0.1 and 10.78.0.2."""
    names = (f"recipes-a-{os.getpid()}", f"recipes-b-{os.getpid()}")
    for name in names:
        ok(run("ip", "netns", "add", name))
    ok(
        run(
            "ip",
            "link",
            "add",
            "cable",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            names[1],
        )
    )
    for number, name in enumerate(names, start=1):
        ok(run("ip", "-n", name, "addr", "add", f"10.78.0.{number}/24", "dev", "cable"))
        for link in ("lo", "cable"):
            ok(run("ip", "-n", name, "link", "set", link, "up"))
    yield names
    for name in names:
        run("ip", "netns", "del", name)


def launcher(machine: str, rank: int, log: Path, *keys: object) -> subprocess.Popen[bytes]:
    where = ("--nodes", 2, "--node-rank", rank, "--master", f"10.78.0.1:{PORT}")
    stage = ("./launch.sh", "sft", SFT, "--accelerate", "ddp", "--num-processes", 1)
    command = ("ip", "netns", "exec", machine, *stage, *where, *keys)
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(word) for word in command], cwd=ROOT, stdout=output, stderr=output
        )


def wait_for(condition, processes: list[subprocess.Popen[bytes]], seconds: float = 150) -> None:
    deadline = time.time() + seconds
    while (
        not condition()
        and time.time() < deadline
        and all(process.poll() is None for process in processes)
    ):
        time.sleep(0.05)
    assert condition()


@pytest.mark.xdist_group("network")
@pytest.mark.skipif(not can_make_networks(), reason="needs root and network namespaces (iproute2)")
@pytest.mark.parametrize(
    "victim", [None, 0, *(pytest.param(other, marks=pytest.mark.slow) for other in (1, "cable"))]
)
def test_training_runs_across_two_machines_and_ends_on_one_when_the_other_is_lost(
    tmp_path, traces, machines, victim
):
    steps = (
        "--max_steps",
        6 if victim is None else 100000,
        "--save_steps",
        3,
        "--save_total_limit",
        1,
    )
    keys = (
        "--output_dir",
        tmp_path,
        "--traces",
        traces,
        "--per_device_train_batch_size",
        8,
        *steps,
    )
    logs = [tmp_path / "0.txt", tmp_path / "1.txt"]
    processes = [
        launcher(machine, rank, log, *keys)
        for rank, (machine, log) in enumerate(zip(machines, logs, strict=True))
    ]
    try:
        if victim is None:
            assert [process.wait(timeout=200) for process in processes] == [0, 0], logs[
                0
            ].read_text()[-3000:]
            assert "2 processes, MULTI_CPU, backend gloo: rank 0 on" in logs[0].read_text()
            assert (tmp_path / "student/model.safetensors").exists()
            return
        wait_for(lambda: any((tmp_path / "student").glob("checkpoint-*/sealed.json")), processes)
        time.sleep(3)  # so that each has heard what the other does
        started = time.time()
        if victim == "cable":
            ok(run("ip", "-n", machines[0], "link", "set", "cable", "down"))
            left = [0, 1]
        else:
            for one in [
                processes[victim],
                *psutil.Process(processes[victim].pid).children(recursive=True),
            ]:
                one.send_signal(signal.SIGKILL)
            left = [1 - victim]
        for rank in left:
            assert processes[rank].wait(timeout=SILENCE_LIMIT + 60) == LOST, logs[rank].read_text()[
                -3000:
            ]
            said = logs[rank].read_text()
            messages = (
                f"rank {1 - rank} (step ",
                "the machine of rank 0 (10.78.0.1) has not answered",
            )
            assert "error: " in said and any(message in said for message in messages), said[-3000:]
        assert time.time() - started < SILENCE_LIMIT + 60
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


class Slurm:
    """A real Slurm, and the jobs of a run that trains in `folder`."""

    def __init__(self, variables: dict[str, str], folder: Path, traces: Path) -> None:
        self.variables, self.folder, self.traces = variables, folder, traces

    def run(self, *command: object) -> str:
        return ok(run(*command, **self.variables)).stdout.strip()

    def submit(self, steps: int, *words: object) -> str:
        """The number of a job that trains so many steps; `words`: options of launch.sh."""
        keys = (
            "--output_dir",
            self.folder,
            "--traces",
            self.traces,
            "--per_device_train_batch_size",
            8,
            "--max_steps",
            steps,
        )
        return self.run(
            "bash", "launch.sh", "sft", SFT, "--slurm", "--num-processes", 1, *words, *keys
        ).split()[-1]

    def state(self, job: str) -> str:
        """The state of a job; "" once Slurm has forgotten it."""
        said = run("scontrol", "show", "job", job, **self.variables).stdout
        return said.split("JobState=")[1].split()[0] if "JobState=" in said else ""

    def log(self, job: str) -> str:
        file = self.folder / f"slurm-{job}.txt"
        return file.read_text() if file.exists() else ""

    def wait_until(self, job: str, condition: Callable[[], bool], seconds: float = 150) -> None:
        deadline = time.time() + seconds
        while not condition():
            assert time.time() < deadline, (self.state(job), self.log(job)[-3000:])
            time.sleep(0.2)

    def wait_for_state(self, job: str, state: str, seconds: float = 150) -> None:
        self.wait_until(job, lambda: self.state(job) == state, seconds)

    def wait_for_words(self, job: str, words: str, count: int = 1) -> None:
        self.wait_until(job, lambda: self.log(job).count(words) >= count)

    def saved(self) -> int:
        return latest(self.folder / "student")


@pytest.fixture
def slurm(tmp_path: Path, traces: Path) -> Iterator[Slurm]:
    folder = Path("/tmp") / f"slurm-{os.getpid()}"  # a socket's path is short
    started = ok(run("bash", "tests/support/start_slurm.sh", folder, "start"))
    yield Slurm({"SLURM_CONF": started.stdout.split("SLURM_CONF=")[-1].strip()}, tmp_path, traces)
    ok(run("bash", "tests/support/start_slurm.sh", folder, "stop"))
    shutil.rmtree(folder)


WITH_SLURM = pytest.mark.skipif(
    shutil.which("slurmctld") is None or os.geteuid() != 0,
    reason="needs root and Debian's packages of Slurm",
)


@pytest.mark.slurm
@WITH_SLURM
def test_slurm_trains_and_cancelled_requeued_or_pre_empted_a_job_saves_and_goes_on(slurm):
    job = slurm.submit(2, "--accelerate", "cpu")
    slurm.wait_for_state(job, "COMPLETED")
    assert (slurm.folder / "student/model.safetensors").exists() and "sft: read" in slurm.log(job)

    job = slurm.submit(100000, "--accelerate", "cpu")
    slurm.wait_for_words(job, "eval loss")  # the first epoch is over
    slurm.run("scancel", job)
    slurm.wait_for_state(job, "CANCELLED")
    slurm.wait_for_words(job, "the same command goes on")
    assert "going on from" in slurm.log(job)  # from the job before
    saved = slurm.saved()
    assert saved > 2

    job = slurm.submit(
        100000, "--accelerate", "cpu"
    )  # goes on, is told that its time is up, saves, and queues itself again
    slurm.wait_for_words(job, f"going on from {slurm.folder}/student/checkpoint-{saved}")
    time.sleep(3)
    slurm.run("scancel", "--signal=TERM", job)  # what `#SBATCH --signal` does
    slurm.wait_for_state(job, "PENDING")
    slurm.wait_for_state(job, "RUNNING")
    slurm.wait_for_words(job, "going on from", 2)
    time.sleep(3)
    urgent = slurm.run(
        "sbatch",
        "--parsable",
        "--partition=urgent",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=sleep 1",
    )
    slurm.wait_for_state(
        job, "PENDING"
    )  # pre-empted: Slurm itself sends SIGTERM, and queues the job again
    assert slurm.log(job).count("the same command goes on") >= 3, slurm.log(job)[-3000:]
    slurm.wait_for_state(urgent, "COMPLETED")
    slurm.wait_for_state(job, "RUNNING")
    slurm.wait_for_words(job, "going on from", 3)
    slurm.run("scancel", job)
    slurm.wait_for_state(job, "CANCELLED")


@pytest.mark.slurm
@WITH_SLURM
def test_slurm_starts_a_launcher_on_each_of_two_nodes_that_end_and_go_on_together(slurm):
    words = ("--accelerate", "cpu_ddp", "--nodes", 2, "--partition", "both")
    job = slurm.submit(100000, *words)
    slurm.wait_for_words(job, "eval loss")
    assert "2 processes, MULTI_CPU, backend gloo: rank 0 on" in slurm.log(job)
    slurm.run("scancel", "--signal=TERM", job)  # to every process of both nodes
    slurm.wait_for_state(job, "PENDING")
    saved = slurm.saved()
    assert saved > 0 and f"checkpoint-{saved} is saved" in slurm.log(job)
    slurm.wait_for_state(job, "RUNNING")
    slurm.wait_for_words(job, f"going on from {slurm.folder}/student/checkpoint-{saved}")
    time.sleep(5)
    nodes = [
        int(line.split()[0])
        for line in slurm.run("scontrol", "listpids", f"{job}.0", "node2").splitlines()[1:]
    ]
    for process in nodes:  # node2 is lost
        os.kill(process, signal.SIGKILL)
    slurm.wait_for_state(job, "FAILED", SILENCE_LIMIT + 120)
    assert "rank 1" in slurm.log(job).rsplit("going on from", 1)[1]
