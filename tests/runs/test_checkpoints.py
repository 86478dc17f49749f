"""Checkpoints: which are intact, resumed from and removed, and what is in them."""

import json
import logging
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from recipes.core.errors import UserError
from recipes.core.models.verify import verify_saved_weights
from recipes.core.runs.checkpoints import (
    CHECKSUMS_FILE,
    checkpoint_step,
    find_corruption,
    list_checkpoints,
    prune_checkpoints,
    write_checksums,
)
from recipes.core.runs.manifest import Provenance, write_manifest
from recipes.core.runs.resume import find_resume_checkpoint
from recipes.core.runtime.failures import is_disk_full
from tests.support.commands import ROOT, run, stage_here

GRPO = "recipes/arithmetic/grpo.yaml"
ANY_RUN = Provenance(config={}, inputs={})
BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8)


def checkpoint(folder: Path, step: int, sealed: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (path / "optimizer.pt").write_bytes(bytes(range(256)) * 100)
    if sealed:
        write_checksums(path)
    return path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "never sealed": (lambda path: (path / CHECKSUMS_FILE).unlink(), "is incomplete"),
    "a torn seal": (lambda path: cut(path / CHECKSUMS_FILE), "is incomplete"),
    "a file lost": (
        lambda path: (path / "optimizer.pt").unlink(),
        "is damaged .optimizer.pt is missing",
    ),
    "a file cut off": (lambda path: cut(path / "optimizer.pt"), "is damaged .optimizer.pt"),
    "one bit flipped": (lambda path: flip(path / "optimizer.pt"), "is damaged .optimizer.pt"),
    "a file emptied": (
        lambda path: (path / "trainer_state.json").write_bytes(b""),
        "is damaged .trainer_state.json",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_is_taken(tmp_path, caplog, name):
    good, newest = checkpoint(tmp_path, 20), checkpoint(tmp_path, 100)
    checkpoint(tmp_path, 3)
    assert find_resume_checkpoint(tmp_path, ANY_RUN, None) == str(newest)
    harm, message = DAMAGES[name]
    harm(newest)
    with caplog.at_level(logging.INFO):
        assert find_resume_checkpoint(tmp_path, ANY_RUN, None) == str(good)
    assert (
        f"{newest} {message.split(' .')[0]}" in caplog.text
        and f"resuming from {good}" in caplog.text
    )
    assert not newest.exists()


def test_no_whole_checkpoint_means_step_0_said_aloud(tmp_path, caplog):
    assert find_resume_checkpoint(tmp_path, ANY_RUN, None) is None
    checkpoint(tmp_path, 3, sealed=False)
    assert find_resume_checkpoint(tmp_path, ANY_RUN, None) is None
    assert "no checkpoint is intact, so the run starts at step 0" in caplog.text


def test_a_checkpoint_that_is_named_must_be_one_and_whole(tmp_path):
    path = checkpoint(tmp_path, 20)
    assert find_resume_checkpoint(tmp_path / "elsewhere", ANY_RUN, str(path)) == str(path)
    flip(path / "optimizer.pt")
    with pytest.raises(UserError, match="is damaged"):
        find_resume_checkpoint(tmp_path / "elsewhere", ANY_RUN, str(path))
    with pytest.raises(UserError, match="is not a checkpoint"):
        find_resume_checkpoint(tmp_path, ANY_RUN, str(tmp_path / "checkpoint-9"))
    assert find_resume_checkpoint(tmp_path, ANY_RUN, "false") is None
    assert not path.exists()


def test_going_on_from_an_earlier_checkpoint_sets_the_later_ones_aside(tmp_path, caplog):
    paths = [checkpoint(tmp_path, step) for step in (100, 200, 300)]
    assert find_resume_checkpoint(tmp_path, ANY_RUN, str(paths[1])) == str(paths[1])
    assert (
        list_checkpoints(tmp_path) == [paths[1], paths[0]]
        and (tmp_path / "old-checkpoint-300").is_dir()
    )
    assert "renamed to old-checkpoint-300" in caplog.text
    best = paths[0].rename(tmp_path / "best-model")  # whatever it is called
    assert find_resume_checkpoint(tmp_path, ANY_RUN, str(best)) == str(best)
    assert checkpoint_step(best) == 100 and not list_checkpoints(tmp_path)


def test_a_job_that_slurm_queued_again_goes_on_although_its_key_says_anew(tmp_path, monkeypatch):
    path = checkpoint(tmp_path, 100)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert find_resume_checkpoint(tmp_path, ANY_RUN, "false") == str(path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert find_resume_checkpoint(tmp_path, ANY_RUN, "false") is None and not path.exists()


def test_old_checkpoints_are_removed_but_never_the_latest_nor_the_best(tmp_path):
    paths = [
        checkpoint(tmp_path, step) for step in (9, 10, 100, 20)
    ]  # by number, not by name or time
    prune_checkpoints(tmp_path, None, None)
    assert all(path.exists() for path in paths)
    prune_checkpoints(tmp_path, 2, str(paths[0]))
    assert [path.exists() for path in paths] == [True, False, True, True]
    prune_checkpoints(tmp_path, 1, None)
    assert [path.exists() for path in paths] == [False, False, True, False]


PROVENANCE = Provenance(
    config={"learning_rate": 1e-3, "max_steps": 20, "rewards": ["accuracy"]},
    inputs={"model": "abc", "dataset": {"rows": 3, "sha256": "x"}},
    batch={"processes": 2},
)


@pytest.mark.parametrize(
    ("part", "changed", "message"),
    [
        (
            "config",
            {"learning_rate": 1e-1},
            "another learning_rate .learning_rate was 0.001, is 0.1",
        ),
        (
            "config",
            {"rewards": ["format"]},
            "another rewards .rewards was .'accuracy'., is .'format'.",
        ),
        ("inputs", {"model": "xyz"}, "another model .model was 'abc', is 'xyz'"),
        ("inputs", {"dataset": {"rows": 4, "sha256": "y"}}, "another dataset"),
        ("batch", {"processes": 1}, "another processes .processes was 2, is 1"),
        ("config", {"max_steps": 40}, None),  # longer is not other
    ],
)
def test_a_run_does_not_go_on_as_another_one_unless_it_is_told_to(
    tmp_path, caplog, part, changed, message
):
    path = checkpoint(tmp_path, 20)
    write_manifest(tmp_path / "manifest.json", "grpo", PROVENANCE, started=0.0)
    other = replace(PROVENANCE, **{part: getattr(PROVENANCE, part) | changed})
    if message:
        with pytest.raises(
            UserError, match=f"{message}.*resume-despite-changes.*resume_from_checkpoint false"
        ):
            find_resume_checkpoint(tmp_path, other, None)
    assert find_resume_checkpoint(tmp_path, other, None, despite_changes=True) == str(path)
    assert (message is None) == ("despite changes" not in caplog.text)


SAVED = {"a.weight": torch.ones(2, 3), "b.weight": torch.zeros(4)}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (SAVED, None),
        (
            {**SAVED, "b.weight": torch.ones(0)},
            "is empty .b.weight has the shape .0.",
        ),  # ZeRO-3 elsewhere
        ({"a.weight": torch.zeros(2, 3), "b.weight": torch.zeros(4)}, "is all zero"),
        ({**SAVED, "b.weight": torch.tensor([1.0, torch.nan])}, "NaN or infinity .b.weight"),
        ({"a.weight": torch.ones(2, 3)}, "1 tensors are missing, 0 are unknown, such as b.weight"),
        (
            {**SAVED, "module.a.weight": torch.ones(1)},
            "0 tensors are missing, 1 are unknown, such as module.a.weight",
        ),
        ({}, "has no weights"),
    ],
)
def test_what_was_saved_is_read_back_and_must_be_the_model(tmp_path, tensors, message):
    if tensors:
        save_file(tensors, tmp_path / "adapter_model.safetensors")
    expected = ["a.weight", "b.weight", "lm_head.weight"]
    if message is None:
        verify_saved_weights(tmp_path, expected, ["lm_head.weight"])
        verify_saved_weights(tmp_path, None, [])
    else:
        with pytest.raises(UserError, match=message):
            verify_saved_weights(tmp_path, expected, ["lm_head.weight"])


def test_a_full_disk_is_known_by_its_error_or_by_there_being_no_room(tmp_path):
    wrapped = RuntimeError("PytorchStreamWriter failed")
    wrapped.__cause__ = OSError(28, "No space left on device")
    assert is_disk_full(OSError(28, "x"), tmp_path) and is_disk_full(wrapped, tmp_path)
    assert not is_disk_full(OSError(2, "x"), tmp_path)


IN_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size={size} none {disk}
"{python}" recipes/grpo.py --config {config} --output_dir {disk}/run {keys} || code=$?
ls {disk}/run/policy
df --output=avail {disk}
exit ${{code:-0}}
"""


@pytest.mark.skipif(run("unshare", "-rm", "true").returncode != 0, reason="needs mount namespaces")
def test_a_full_disk_names_the_path_and_loses_nothing_that_was_saved(tmp_path):
    import sys

    keys = ("--max_steps", 40, "--save_steps", 1, "--save_total_limit", 30, *BATCH)
    words = {
        "disk": tmp_path,
        "size": "24m",
        "python": sys.executable,
        "config": GRPO,
        "keys": " ".join(map(str, keys)),
    }
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", IN_A_SMALL_DISK.format(**words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2, done.stderr[-3000:]
    assert f"error: the disk of {tmp_path}/run/policy is full" in done.stderr
    assert "what was saved before is intact (checkpoint-" in done.stderr
    assert "Traceback" not in done.stderr
    assert "checkpoint-1\n" in done.stdout


def test_a_run_resumes_despite_changes_only_when_told_and_removes_the_damaged(tmp_path, caplog):
    keys = ("--output_dir", tmp_path, *BATCH, "--save_steps", 1, "--save_total_limit", 2)
    other = ("--max_steps", 3, "--rewards", "[{name: accuracy}]")
    stage_here("grpo", GRPO, *keys, "--max_steps", 2)
    policy = tmp_path / "policy"
    flip(policy / "checkpoint-2/optimizer.pt")
    with pytest.raises(UserError, match=r"another rewards.*--resume-despite-changes") as error:
        stage_here("grpo", GRPO, *keys, *other)
    assert "\n" not in str(error.value)
    with caplog.at_level("INFO"):
        stage_here("grpo", GRPO, *keys, *other, "--resume-despite-changes")
    assert "resuming despite changes: rewards was" in caplog.text
    damage = "checkpoint-2 is damaged (optimizer.pt differs from what was written) and is removed"
    assert damage in caplog.text
    assert {path.name for path in policy.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}
    assert all(find_corruption(path) is None for path in policy.glob("checkpoint-*"))
