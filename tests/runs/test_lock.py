"""One run at a time in a folder; the lock of a run that is gone is taken over."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace

import psutil
import pytest

from recipes.core.errors import UserError
from recipes.core.files import write_json
from recipes.core.runs import Provenance, SamplingRun, refuse_changes
from recipes.core.runs import lock as lock_module
from recipes.core.runs.lock import Owner, RunLock

OTHER_HOST = replace(Owner.this_process(), host="another-machine", pid=7)


@pytest.fixture
def lock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lock_module, "WATCH_SECONDS", 1.0)
    held = RunLock(tmp_path / "policy")
    yield held
    held.release()


def hold(lock, owner):
    write_json(lock.path, asdict(owner))


def test_a_lock_names_its_process_and_is_removed_with_the_run(lock, tmp_path):
    lock.acquire()
    assert lock.path == tmp_path / "policy.lock"
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    lock.release()
    assert not lock.path.exists()
    lock.release()  # twice is no mistake


def test_a_fork_that_ends_leaves_the_lock_to_its_parent(lock):
    lock.acquire()
    if os.fork() == 0:
        lock.release()
        os._exit(0)
    os.wait()
    assert lock.path.exists()


def test_samples_have_a_lock_of_their_own(lock, tmp_path):
    run = SamplingRun("generate", tmp_path / "samples.jsonl", Provenance({}, {}), refuse_changes)
    parent = replace(
        lock.owner, pid=os.getppid(), process_started=psutil.Process(os.getppid()).create_time()
    )
    held = tmp_path / "samples.jsonl.lock"
    write_json(held, asdict(parent))
    with pytest.raises(UserError, match=r"samples\.jsonl: another run writes there"), run:
        pass
    assert not run.manifest.exists()
    held.unlink()
    with run:
        assert held.exists()
    assert not held.exists() and run.manifest.exists()


def test_a_process_that_is_alive_keeps_its_lock_and_is_named(lock):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(child.pid).create_time()
    hold(lock, replace(lock.owner, pid=child.pid, process_started=started))
    with pytest.raises(UserError, match=rf"another run writes there \(process {child.pid} on"):
        lock.acquire()
    child.communicate(b"\n")
    lock.acquire()  # it is gone now


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1},  # above the largest process id
        {"pid": os.getppid(), "process_started": 1.0},  # another process with its id
    ],
)
def test_the_lock_of_a_process_that_is_gone_is_taken_over(lock, changes):
    hold(lock, replace(lock.owner, **changes))
    lock.acquire()
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["", '{"host": "a", "pi', "[]", "{}"])
def test_half_a_lock_is_none(lock, content):
    lock.path.write_text(content)
    lock.acquire()


def test_a_process_may_lock_again_what_it_has_locked(lock, tmp_path):
    lock.acquire()
    again = RunLock(tmp_path / "policy")
    again.acquire()
    again.release()


def test_the_lock_of_another_machine_is_taken_over_once_it_is_no_longer_renewed(lock, caplog):
    hold(lock, OTHER_HOST)
    with caplog.at_level("INFO"):
        lock.acquire()
    assert "process 7 on another-machine held the lock; waiting" in caplog.text


@pytest.mark.parametrize("changes", [{}, {"host": OTHER_HOST.host, "pid_namespace": "pid:[1]"}])
def test_a_lock_that_another_machine_or_container_renews_is_respected(lock, tmp_path, changes):
    lock.owner = replace(lock.owner, host="this-machine")
    other = RunLock(tmp_path / "policy")
    other.owner = replace(OTHER_HOST, **changes)
    other.acquire()
    with pytest.raises(UserError, match=r"on another-machine\).*If it is gone, remove .*\.lock"):
        lock.acquire()
    other.release()


def test_a_job_that_slurm_starts_again_does_not_wait_for_its_first_start(lock):
    lock.owner = replace(lock.owner, slurm_job="12", slurm_restarts=1)
    hold(lock, replace(OTHER_HOST, slurm_job="12", slurm_restarts=0))
    lock_module.WATCH_SECONDS = 600.0  # the fixture restores it
    lock.acquire()


def test_of_two_that_take_over_at_once_one_gets_the_lock(lock, tmp_path):
    hold(lock, replace(lock.owner, pid=2**22 + 1))
    locks = [RunLock(tmp_path / "policy") for _ in range(4)]
    for index, one in enumerate(locks):
        one.owner = replace(OTHER_HOST, host=f"machine-{index}")
    refused = []

    def take(one):
        try:
            one.acquire()
        except UserError:
            refused.append(one)

    threads = [threading.Thread(target=take, args=(one,)) for one in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    for one in locks:
        one.release()
