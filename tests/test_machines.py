"""Several machines: two network namespaces with a cable between them, and a real Slurm. For root; skipped where that is not so."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from recipes.core.supervise import LOST
from recipes.core.watch import SILENCE
from tests.conftest import ROOT, ok, run

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
    ok(run("ip", "link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1]))
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
        return subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=output, stderr=output)


def wait_for(condition, processes: list[subprocess.Popen[bytes]], seconds: float = 150) -> None:
    deadline = time.time() + seconds
    while not condition() and time.time() < deadline and all(process.poll() is None for process in processes):
        time.sleep(0.05)
    assert condition()


@pytest.mark.xdist_group("network")
@pytest.mark.skipif(not can_make_networks(), reason="needs root and network namespaces (iproute2)")
@pytest.mark.parametrize("victim", [None, 0, *(pytest.param(other, marks=pytest.mark.slow) for other in (1, "cable"))])
def test_training_runs_across_two_machines_and_ends_on_one_when_the_other_is_lost(tmp_path, traces, machines, victim):
    steps = ("--max_steps", 6 if victim is None else 100000, "--save_steps", 3, "--save_total_limit", 1)
    keys = ("--output_dir", tmp_path, "--traces", traces, "--per_device_train_batch_size", 8, *steps)
    logs = [tmp_path / "0.txt", tmp_path / "1.txt"]
    processes = [launcher(machine, rank, log, *keys) for rank, (machine, log) in enumerate(zip(machines, logs, strict=True))]
    try:
        if victim is None:
            assert [process.wait(timeout=200) for process in processes] == [0, 0], logs[0].read_text()[-3000:]
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
            for one in [processes[victim], *psutil.Process(processes[victim].pid).children(recursive=True)]:
                one.send_signal(signal.SIGKILL)
            left = [1 - victim]
        for rank in left:
            assert processes[rank].wait(timeout=SILENCE + 60) == LOST, logs[rank].read_text()[-3000:]
            said = logs[rank].read_text()
            messages = (f"rank {1 - rank} (step ", "the machine of rank 0 (10.78.0.1) has not answered")
            assert "error: " in said and any(message in said for message in messages), said[-3000:]
        assert time.time() - started < SILENCE + 60
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@pytest.fixture
def slurm() -> Iterator[dict[str, str]]:
    """A real Slurm of one machine; the variables that point to it."""
    folder = Path("/tmp") / f"slurm-{os.getpid()}"  # a socket's path is short
    started = ok(run("bash", "tests/slurm.sh", folder, "start"))
    yield {"SLURM_CONF": started.stdout.split("SLURM_CONF=")[-1].strip()}
    ok(run("bash", "tests/slurm.sh", folder, "stop"))
    shutil.rmtree(folder)


def state(job: str, variables: dict[str, str]) -> str:
    """The state of a job; "" once Slurm has forgotten it."""
    said = run("scontrol", "show", "job", job, **variables).stdout
    return said.split("JobState=")[1].split()[0] if "JobState=" in said else ""


@pytest.mark.slurm
@pytest.mark.skipif(shutil.which("slurmctld") is None or os.geteuid() != 0, reason="needs root and Debian's packages of Slurm")
def test_slurm_trains_and_cancelled_requeued_or_pre_empted_a_job_saves_and_goes_on(tmp_path, traces, slurm):
    def submit(steps: int) -> str:
        keys = ("--output_dir", tmp_path, "--traces", traces, "--per_device_train_batch_size", 8, "--max_steps", steps)
        words = ("--slurm", "--accelerate", "cpu", "--num-processes", 1)
        return ok(run("bash", "launch.sh", "sft", SFT, *words, *keys, **slurm)).stdout.split()[-1]

    def wait_until(job: str, *states: str) -> None:
        deadline = time.time() + 150
        while state(job, slurm) not in states:
            log = tmp_path / f"slurm-{job}.txt"
            assert time.time() < deadline, (state(job, slurm), log.read_text()[-3000:] if log.exists() else "no log")
            time.sleep(0.2)

    def log(job: str) -> str:
        return (tmp_path / f"slurm-{job}.txt").read_text()

    student = tmp_path / "student"
    job = submit(2)
    wait_until(job, "COMPLETED")
    assert (student / "model.safetensors").exists() and "sft: read" in log(job)

    job = submit(100000)
    deadline = time.time() + 150
    while "eval loss" not in log(job) if (tmp_path / f"slurm-{job}.txt").exists() else True:  # the first epoch is over
        assert time.time() < deadline, log(job)[-3000:]
        time.sleep(0.2)
    ok(run("scancel", job, **slurm))
    wait_until(job, "CANCELLED")
    deadline = time.time() + 40
    while "the same command goes on" not in log(job):
        assert time.time() < deadline, log(job)[-3000:]
        time.sleep(0.2)
    assert "going on from" in log(job)  # from the job before
    saved = max(int(path.name.partition("-")[2]) for path in student.glob("checkpoint-*") if (path / "sealed.json").exists())
    assert saved > 2

    job = submit(100000)  # goes on, is told that its time is up, saves, and queues itself again
    deadline = time.time() + 150
    while not (tmp_path / f"slurm-{job}.txt").exists() or f"going on from {student}/checkpoint-{saved}" not in log(job):
        assert time.time() < deadline
        time.sleep(0.2)
    time.sleep(3)
    ok(run("scancel", "--signal=TERM", job, **slurm))  # what `#SBATCH --signal` does
    wait_until(job, "PENDING")
    wait_until(job, "RUNNING")
    deadline = time.time() + 150
    while log(job).count("going on from") < 2:
        assert time.time() < deadline, log(job)[-3000:]
        time.sleep(0.2)
    time.sleep(3)
    urgent = ok(run("sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1", **slurm))
    wait_until(job, "PENDING")  # pre-empted: Slurm itself sends SIGTERM, and queues the job again
    assert log(job).count("the same command goes on") >= 3, log(job)[-3000:]
    wait_until(urgent.stdout.strip(), "COMPLETED")
    wait_until(job, "RUNNING")
    deadline = time.time() + 150
    while log(job).count("going on from") < 3:
        assert time.time() < deadline, log(job)[-3000:]
        time.sleep(0.2)
    ok(run("scancel", job, **slurm))
    wait_until(job, "CANCELLED")
