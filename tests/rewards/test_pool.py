"""The worker pool: limits that hold, workers that can be killed, and nothing left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rewards.correctness.accuracy import Accuracy
from rewards.isolation.pool import Limits, Outcome, Pool, PoolError
from tests.support.commands import ROOT, answered, run

# What only math-verify decides, in about 20 ms each.
GOLD, RIGHT, WRONG = r"\sin{x}", r"\sin(x)", r"\cos(x)"
HANGS = r"y=9^{9^{9^{9}}}"

# Functions that run in a worker, by name: this module is imported there.
echo = os.path.basename


def pid(_: str) -> int:
    return os.getpid()


def sleep(seconds: str) -> str:
    time.sleep(float(seconds))
    return seconds


def allocate(megabytes: str) -> int:
    return len(bytearray(int(megabytes) << 20))


def fail(text: str) -> None:
    raise KeyError(text)


def leave(_: str) -> None:
    raise SystemExit(3)


def strange(_: str) -> set[int]:
    return {1}  # not JSON


def recurse(text: str) -> str:
    return recurse(text)


@pytest.fixture
def pool():
    made = Pool(Limits(timeout_seconds=1.0, memory_mb=1024))
    yield made
    made.close()


def test_a_folder_called_rewards_in_a_users_project_is_not_in_the_way(pool, tmp_path, monkeypatch):
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards/__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    (outcome,) = pool.run(here("echo"), [("a/b",)])
    assert outcome.value == "b"


def here(name: str) -> str:
    return f"tests.rewards.test_pool:{name}"


def children(parent: int) -> set[int]:
    """The processes that `parent` started, and those that they started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == parent and fields[0] != "Z":
            found |= {int(stat.parent.name)} | children(int(stat.parent.name))
    return found


def gone(pids: set[int], within_seconds: float = 5) -> bool:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        # An orphan that waits to be reaped by process 1 is not running any more.
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        if not any(
            path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"
            for path in states
        ):
            return True
        time.sleep(0.05)
    return False


def test_a_batch_keeps_its_order_and_only_the_tasks_over_a_limit_are_lost(pool):
    tasks = [("0",), ("9",), ("0.01",), ("9",), ("0.02",)]
    started = time.monotonic()
    over = Outcome(limit=True)
    expected = [Outcome("0"), over, Outcome("0.01"), over, Outcome("0.02")]
    assert pool.run(here("sleep"), tasks) == expected
    assert time.monotonic() - started < 6
    outcomes = pool.run(here("allocate"), [("10",), ("2000",), ("20",)])
    assert [outcome.limit for outcome in outcomes] == [False, True, False]
    assert pool.run(here("recurse"), [("",)])[0].limit


def test_run_once_remembers_its_outcomes_even_across_servers(pool):
    first = pool.run_once(here("pid"), [("a",), ("b",)])
    pool.close()
    assert pool.run_once(here("pid"), [("b",), ("a",)]) == first[::-1]


def test_a_task_that_raises_stops_the_run_and_is_named_in_the_error(pool):
    with pytest.raises(PoolError, match=r"fail raised KeyError\('why'\) for \('why',\)"):
        pool.run(here("fail"), [("why",)])
    for name in ("leave", "strange"):
        with pytest.raises(PoolError, match=f"{name} raised"):
            pool.run(here(name), [("x",)])
    assert pool.run(here("echo"), [("fine",)])[0].value == "fine"


def test_a_pool_that_cannot_start_stops_the_run_instead_of_scoring(pool, capfd):
    with pytest.raises(PoolError, match="ended with status 1"):
        pool.run("no_such_module:function", [("x",)])
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_a_worker_killed_in_the_middle_of_a_batch_changes_no_score(pool):
    (worker,) = {outcome.value for outcome in pool.run(here("pid"), [("x",)])}
    with ThreadPoolExecutor() as threads:
        batch = threads.submit(pool.run, here("sleep"), [("0.3",)] * 8)
        time.sleep(0.15)
        victims = children(pool.server_pid) or {worker}
        os.kill(min(victims), signal.SIGKILL)
        assert [outcome.value for outcome in batch.result()] == ["0.3"] * 8


def test_a_server_killed_in_the_middle_of_a_batch_is_started_again(pool):
    pool.run(here("pid"), [("x",)])
    with ThreadPoolExecutor() as threads:
        batch = threads.submit(pool.run, here("sleep"), [("0.3",)] * 4)
        time.sleep(0.15)
        workers = children(pool.server_pid)
        os.kill(pool.server_pid, signal.SIGKILL)
        assert [outcome.value for outcome in batch.result()] == ["0.3"] * 4
    assert gone(workers)


def test_several_threads_share_the_pool():
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(
            lambda answer: Accuracy()(completion=answered(answer), answer=GOLD), [RIGHT, WRONG] * 8
        )
    assert list(results) == [1.0, 0.0] * 8
    assert threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_pool_works_in_a_forked_and_in_a_spawned_process(method, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from rewards.correctness.accuracy import Accuracy\n"
        f"score = lambda: Accuracy()(completion={answered(RIGHT)!r}, answer={GOLD!r})\n"
        "def child(): sys.exit(0 if score() == 1.0 else 1)\n"
        "if __name__ == '__main__':\n"
        "    assert score() == 1.0\n"  # the parent's server is running when the child begins
        f"    process = multiprocessing.get_context({method!r}).Process(target=child)\n"
        "    process.start()\n    process.join()\n"
        "    assert process.exitcode == 0 and score() == 1.0\n"
    )
    done = run(sys.executable, script)
    assert done.returncode == 0, done.stderr


HANG_IN_A_THREAD = "threading.Thread(target=score, args=(HANGS,)).start(); time.sleep(0.4)"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(0)", 0),  # training ends
        ("raise ValueError", 1),  # training fails
        ("os._exit(3)", 3),  # without any clean-up
        ("os.kill(os.getpid(), 9)", -9),  # training is killed
        (f"{HANG_IN_A_THREAD}; os.kill(os.getpid(), 9)", -9),  # while it scores
        (f"{HANG_IN_A_THREAD}; os.kill(os.getpid(), 15)", -15),
    ],
)
def test_no_process_is_left_however_training_ends(ending, status):
    program = (
        "import os, sys, threading, time\n"
        "from rewards.correctness.accuracy import Accuracy\n"
        f"HANGS = {HANGS!r}\n"
        "def score(text):\n"
        "    completion = '<think>a</think><answer>' + text + '</answer>'\n"
        f"    return Accuracy()(completion=completion, answer={GOLD!r})\n"
        f"score({RIGHT!r})\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n" + ending
    )
    trainer = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout.readline() == "ready\n"
    started = children(trainer.pid)
    assert len(started) >= 2  # the server and a worker
    trainer.communicate("\n", timeout=30)
    assert trainer.returncode == status
    assert gone(started)


def test_several_ranks_score_side_by_side(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from rewards.correctness.accuracy import Accuracy\n"
        f"texts = [{answered(RIGHT)!r}, {answered(WRONG)!r}, {answered(HANGS)!r}] * 2\n"
        f"batch = Accuracy().score_batch(texts, [{{'answer': {GOLD!r}}}] * 6)\n"
        "print('rank', os.environ['RANK'], batch.scores, batch.timed_out, flush=True)\n"
    )
    done = run(
        "accelerate",
        "launch",
        "--quiet",
        "--config_file",
        "accelerate_configs/ddp.yaml",
        "--num_processes",
        2,
        script,
    )
    assert done.returncode == 0, done.stderr
    # The same answer is scored once, and counts twice.
    assert sorted(done.stdout.splitlines()) == [
        f"rank {rank} [1.0, 0.0, 0.0, 1.0, 0.0, 0.0] 2" for rank in (0, 1)
    ]


@pytest.mark.parametrize(
    ("key", "value"), [("timeout_seconds", 0), ("timeout_seconds", -1), ("memory_mb", 100)]
)
def test_limits_that_make_no_sense_are_refused(key, value):
    with pytest.raises(ValueError, match=key):
        Accuracy(**{key: value})
