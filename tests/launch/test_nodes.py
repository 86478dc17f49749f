"""Several machines: two network namespaces joined by a virtual cable, and a real Slurm.

Both need root; the tests are skipped without it.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from recipes.core.runtime.stopping import LOST, STOPPED
from recipes.core.runtime.watchdog import SILENCE_LIMIT
from tests.support.commands import ROOT, latest, ok, run

SFT = "recipes/arithmetic/sft.yaml"
PORT = 29611
STOPPED_LINE = f"run the same command again to resume ({STOPPED})"
RESUMED = "resuming from"  # logged by the stage


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
    one_end = ("cable", "netns", names[0], "type", "veth")
    other_end = ("name", "cable", "netns", names[1])
    ok(run("ip", "link", "add", *one_end, "peer", *other_end))
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
    while not condition() and time.time() < deadline:
        if any(process.poll() is not None for process in processes):
            break
        time.sleep(0.05)
    assert condition()


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    for one in [process, *psutil.Process(process.pid).children(recursive=True)]:
        one.send_signal(signal.SIGKILL)


@pytest.mark.skipif(not can_make_networks(), reason="needs root and network namespaces (iproute2)")
@pytest.mark.parametrize(
    "victim",
    [
        pytest.param(None, marks=pytest.mark.slow),
        0,
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param("cable", marks=pytest.mark.slow),
    ],
)
def test_training_runs_across_two_machines_and_ends_on_one_when_the_other_is_lost(
    tmp_path, traces, machines, victim
):
    steps = 6 if victim is None else 100000
    saving = ("--max_steps", steps, "--save_steps", 3, "--save_total_limit", 1)
    data = ("--traces", traces, "--per_device_train_batch_size", 8)
    logs = [tmp_path / "0.txt", tmp_path / "1.txt"]
    processes = []
    for rank in (0, 1):
        keys = ("--output_dir", tmp_path, *data, *saving)
        processes.append(launcher(machines[rank], rank, logs[rank], *keys))
    try:
        if victim is None:
            codes = [process.wait(timeout=200) for process in processes]
            assert codes == [0, 0], logs[0].read_text()[-3000:]
            assert "2 processes, MULTI_CPU, backend gloo: rank 0 on" in logs[0].read_text()
            assert (tmp_path / "student/model.safetensors").exists()
            return

        # Once both train, a machine or the cable between them is lost.
        wait_for(lambda: any((tmp_path / "student").glob("checkpoint-*/sealed.json")), processes)
        time.sleep(3)  # several heartbeats, so that each knows the other's activity
        started = time.time()
        if victim == "cable":
            ok(run("ip", "-n", machines[0], "link", "set", "cable", "down"))
            survivors = [0, 1]
        else:
            kill_tree(processes[victim])
            survivors = [1 - victim]

        # The launchers that are left end, and name the rank or the machine that is gone.
        for rank in survivors:
            code = processes[rank].wait(timeout=SILENCE_LIMIT + 60)
            log = logs[rank].read_text()
            assert code == LOST and "error: " in log, log[-3000:]
            # What it did last, such as `step 9` or `hashing config.json`, depends on the moment.
            assert f"rank {1 - rank} (" in log or "rank 0 (10.78.0.1)" in log, log[-3000:]
        assert time.time() - started < SILENCE_LIMIT + 60
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


class Slurm:
    """A real Slurm, and the jobs of a run that writes to `folder`."""

    def __init__(self, variables: dict[str, str], folder: Path, traces: Path) -> None:
        self.variables = variables
        self.folder = folder
        self.traces = traces

    def run(self, *command: object) -> str:
        return ok(run(*command, **self.variables)).stdout.strip()

    def submit(self, steps: int, *options: object) -> str:
        """Submits a job that trains this many steps, with these options of launch.sh.

        Returns the job's number.
        """
        command = ("bash", "launch.sh", "sft", SFT, "--slurm", "--num-processes", 1, *options)
        data = ("--traces", self.traces, "--per_device_train_batch_size", 8)
        output = self.run(*command, "--output_dir", self.folder, *data, "--max_steps", steps)
        return output.split()[-1]

    def state(self, job: str) -> str:
        """The state of a job; "" once Slurm has forgotten it."""
        description = run("scontrol", "show", "job", job, **self.variables).stdout
        found = re.search(r"JobState=(\S+)", description)
        return found[1] if found else ""

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

    def wait_for_log(self, job: str, text: str, count: int = 1) -> None:
        self.wait_until(job, lambda: self.log(job).count(text) >= count)

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
def test_a_slurm_job_that_is_cancelled_requeued_or_preempted_saves_and_resumes(slurm):
    job = slurm.submit(2, "--accelerate", "cpu")
    slurm.wait_for_state(job, "COMPLETED")
    assert (slurm.folder / "student/model.safetensors").exists() and "sft: read" in slurm.log(job)

    job = slurm.submit(100000, "--accelerate", "cpu")
    slurm.wait_for_log(job, "eval loss")  # the first epoch is over
    slurm.run("scancel", job)
    slurm.wait_for_state(job, "CANCELLED")
    slurm.wait_for_log(job, STOPPED_LINE)
    assert RESUMED in slurm.log(job)  # from the job before
    saved = slurm.saved()
    assert saved > 2

    # The next job resumes. Near its time limit Slurm sends SIGTERM: it saves and is requeued.
    job = slurm.submit(100000, "--accelerate", "cpu")
    slurm.wait_for_log(job, f"{RESUMED} {slurm.folder}/student/checkpoint-{saved}")
    time.sleep(3)
    slurm.run("scancel", "--signal=TERM", job)  # as `#SBATCH --signal` does
    slurm.wait_for_state(job, "PENDING")
    slurm.wait_for_state(job, "RUNNING")
    slurm.wait_for_log(job, RESUMED, 2)
    time.sleep(3)

    # An urgent job preempts it: Slurm sends SIGTERM and requeues it.
    in_its_place = ("--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    urgent = slurm.run("sbatch", "--parsable", *in_its_place)
    slurm.wait_for_state(job, "PENDING")
    assert slurm.log(job).count(STOPPED_LINE) >= 2, slurm.log(job)[-3000:]
    slurm.wait_for_state(urgent, "COMPLETED")
    slurm.wait_for_state(job, "RUNNING")
    slurm.wait_for_log(job, RESUMED, 3)
    slurm.run("scancel", job)
    slurm.wait_for_state(job, "CANCELLED")


@pytest.mark.slurm
@WITH_SLURM
def test_slurm_starts_a_launcher_on_each_of_two_nodes_that_stop_and_resume_together(slurm):
    options = ("--accelerate", "cpu_ddp", "--nodes", 2, "--partition", "both")
    job = slurm.submit(100000, *options)
    slurm.wait_for_log(job, "eval loss")
    assert "2 processes, MULTI_CPU, backend gloo: rank 0 on" in slurm.log(job)
    slurm.run("scancel", "--signal=TERM", job)  # to every process of both nodes
    slurm.wait_for_state(job, "PENDING")
    saved = slurm.saved()
    assert saved > 0 and f"checkpoint-{saved} is saved" in slurm.log(job)
    slurm.wait_for_state(job, "RUNNING")
    slurm.wait_for_log(job, f"{RESUMED} {slurm.folder}/student/checkpoint-{saved}")
    time.sleep(5)

    # node2 is lost: the launcher of node1 names its rank.
    processes = slurm.run("scontrol", "listpids", f"{job}.0", "node2").splitlines()
    for line in processes[1:]:  # the first line is the table's head
        os.kill(int(line.split()[0]), signal.SIGKILL)
    slurm.wait_for_state(job, "FAILED", SILENCE_LIMIT + 120)
    assert "rank 1" in slurm.log(job).rsplit(RESUMED, 1)[1]
