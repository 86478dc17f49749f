"""A process that dies or hangs ends the run: the message names its rank and its last activity."""

import re
import signal
import time

import psutil
import pytest

from recipes.core.runtime import watchdog as watchdog_module
from recipes.core.runtime.heartbeat import Heartbeat, Received
from recipes.core.runtime.stopping import LOST
from recipes.core.runtime.watchdog import SILENCE_LIMIT, Watchdog
from tests.runtime.processes import start, wait_for_lines
from tests.support.commands import free_port, run

LIMIT = 600  # seconds, of hanging
SILENT = SILENCE_LIMIT + 1


def heartbeat(progress, age, waiting=False, exit_reason=None):
    return Heartbeat(0.0, progress, f"work {progress}", age, waiting, exit_reason)


def watchdog_of_rank_0(others, activity_age, seconds_ago=0.0):
    """A watchdog at progress 5 that received these heartbeats `seconds_ago`; it has no store."""
    watchdog = Watchdog(0, 1, lambda reason: None)
    watchdog.processes = 1 + len(others)
    watchdog.limit = LIMIT
    watchdog.progress = 5
    watchdog.activity = "work 5"
    watchdog.activity_started = time.monotonic() - activity_age
    arrival = time.monotonic() - seconds_ago
    for rank, other in enumerate(others, start=1):
        watchdog.received[rank] = Received(other, arrival)
    return watchdog


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([heartbeat(5, 1)], None),  # it works
        ([heartbeat(5, 700, waiting=True)], "rank 0 hangs: work 5, for 7"),  # it waits for us
        ([heartbeat(4, 700)], "rank 1 hangs: work 4, for 700 s .the limit is 600."),
        ([heartbeat(4, 700), heartbeat(5, 3)], None),  # another rank makes progress
        # No rank is known to wait: any of those with the least progress may hang.
        ([heartbeat(5, 700), heartbeat(9, 700)], "one of the ranks 0, 1 hangs: work 5"),
        # A rank that has done its part is not one of those that hang.
        ([heartbeat(4, 700, exit_reason="")], "rank 0 hangs: work 5"),
    ],
)
def test_the_rank_that_all_others_wait_for_is_blamed(others, reason):
    diagnosis = watchdog_of_rank_0(others, activity_age=701).diagnose()
    assert diagnosis == reason or re.match(reason, diagnosis), diagnosis


@pytest.mark.parametrize(
    ("exit_reason", "seconds_ago", "reason"),
    [
        (None, SILENT, "no heartbeat for 60 s from rank 1 (work 4)"),
        (None, 50, None),  # it may only be slow
        ("", SILENT, None),  # it has done its part
        ("no such file", 11, "rank 1 has ended: no such file"),
        ("no such file", 5, None),  # this process may still fail by itself, with a better message
    ],
)
def test_a_silent_or_failed_rank_is_reported(exit_reason, seconds_ago, reason):
    other = heartbeat(4, 3, exit_reason=exit_reason)
    watchdog = watchdog_of_rank_0([other], activity_age=0, seconds_ago=seconds_ago)
    assert watchdog.diagnose() == reason


def test_a_rank_that_was_never_heard_of_is_reported_after_the_limit():
    watchdog = watchdog_of_rank_0([], activity_age=0)
    watchdog.processes = 2
    assert watchdog.diagnose() is None
    watchdog.started -= LIMIT + 1
    assert watchdog.diagnose() == "no heartbeat from rank 1 in 600 s"


def test_work_of_the_main_process_alone_is_no_progress():
    watchdog = Watchdog(0, 1, lambda reason: None)
    watchdog.report("step 3: scoring with accuracy")
    watchdog.report("hashing model.safetensors", alone=True)
    assert (watchdog.progress, watchdog.activity) == (1, "hashing model.safetensors")


@pytest.fixture
def two_ranks(monkeypatch):
    """The watchdogs of two ranks that share a store, with short limits, and what they reported."""
    from datetime import timedelta

    from torch.distributed import TCPStore

    port = free_port()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    monkeypatch.setattr(watchdog_module, "HEARTBEAT_PERIOD", 0.1)
    monkeypatch.setattr(watchdog_module, "SILENCE_LIMIT", 2.0)
    monkeypatch.setattr(watchdog_module, "ERROR_DELAY", 0.2)
    store = TCPStore(
        "127.0.0.1", port, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=10)
    )
    reasons = []
    watchdogs = [Watchdog(rank, 2, reasons.append) for rank in range(2)]
    yield watchdogs, reasons
    for watchdog in watchdogs:
        watchdog.end()
    del store


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_ranks_hear_each_other_and_a_finished_one_may_be_silent(two_ranks):
    (first, second), reasons = two_ranks
    second.report("step 1")
    wait_for(lambda: 1 in first.received and first.received[1].heartbeat.activity == "step 1")
    second.end()
    wait_for(lambda: first.received[1].heartbeat.exit_reason == "")
    time.sleep(2.5)  # longer than the silence limit
    assert reasons == []


def test_a_rank_that_fails_ends_the_other_with_its_error(two_ranks):
    (first, second), reasons = two_ranks
    wait_for(lambda: 1 in first.received)
    second.end("no such file")
    wait_for(lambda: reasons)
    assert reasons == ["rank 1 has ended: no such file"]


def test_a_rank_that_falls_silent_ends_the_other_with_its_last_activity(two_ranks):
    (first, second), reasons = two_ranks
    second.report("step 7: generating")
    wait_for(lambda: 1 in first.received and first.received[1].heartbeat.progress == 1)
    second.exit_reason = "killed"  # its threads stop, and nothing is published
    wait_for(lambda: reasons)
    assert reasons == ["no heartbeat for 2 s from rank 1 (step 7: generating)"]


# Real runs of two processes.

TWO_RANKS = (
    *("bash", "launch.sh", "grpo", "recipes/arithmetic/grpo.yaml"),
    *("--accelerate", "ddp", "--num-processes", 2),
    *("--per_device_train_batch_size", 8, "--num_generations", 8),
)


def find_rank(number, launcher):
    """The process of this rank below the launcher."""
    for process in psutil.Process(launcher.pid).children(recursive=True):
        is_stage = "recipes/grpo.py" in " ".join(process.cmdline())
        if is_stage and process.environ().get("RANK") == str(number):
            return process
    raise AssertionError(f"no rank {number}")


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (signal.SIGKILL, 40),  # the connections of the other rank break at once
        # A suspended process keeps its connections, and is only silent.
        pytest.param(signal.SIGSTOP, SILENCE_LIMIT + 40, marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_dies_ends_the_run_with_its_last_activity(tmp_path, sent, seconds):
    launcher = start(*TWO_RANKS, "--output_dir", tmp_path, "--max_steps", 500)
    wait_for_lines(tmp_path / "rollouts/train.jsonl", 3 * 16, launcher)
    victim = find_rank(1, launcher)
    started = time.time()
    victim.send_signal(sent)
    output = launcher.communicate(timeout=seconds + 60)[0]
    assert time.time() - started < seconds
    assert launcher.returncode == LOST, output[-3000:]
    assert "rank 1 (step " in output and not victim.is_running()


def test_a_rank_that_hangs_ends_the_run_after_ddp_timeout(tmp_path):
    rewards = '["accuracy", "tests.support.user_rewards:hangs"]'
    keys = ("--output_dir", tmp_path, "--rewards", rewards, "--ddp_timeout", 20)
    started = time.time()
    done = run(*TWO_RANKS, *keys)
    assert done.returncode == LOST and time.time() - started < 120
    assert "rank 1 hangs: step 0: scoring with hangs, for 2" in done.stderr
    assert "(the limit is 20)" in done.stderr
