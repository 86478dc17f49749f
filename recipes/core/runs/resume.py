"""Resumes an interrupted run from its latest intact checkpoint; refuses to continue another run."""

import json
import logging
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.core.errors import UserError
from recipes.core.runs.checkpoints import (
    CHECKSUMS_FILE,
    archive_later_checkpoints,
    checkpoint_step,
    find_corruption,
    list_checkpoints,
)
from recipes.core.runs.lock import RunLock
from recipes.core.runs.manifest import FINISHED, Provenance, read_manifest
from recipes.core.runtime.process_group import ask_main_process

logger = logging.getLogger(__name__)

# How long a run trains: it may be resumed for longer, and is then not finished.
_LENGTH_KEYS = {"max_seconds", "max_steps", "num_train_epochs"}

# Keys that may change when a run resumes: how long it trains, how often it saves, what it shows.
_MAY_CHANGE = {
    *_LENGTH_KEYS,
    "dataloader_num_workers",
    "ddp_timeout",
    "disable_tqdm",
    "eval_steps",
    "eval_strategy",
    "logging_steps",
    "output_dir",
    "report_to",
    "resume_despite_changes",
    "resume_from_checkpoint",
    "run_name",
    "save_steps",
    "save_strategy",
    "save_total_limit",
}

Changes = dict[str, tuple[Any, Any]]  # old and new value of each key that differs


@dataclass
class ResumeArguments:
    """Keys of every training stage that decide how it resumes."""

    resume_despite_changes: bool = False


def claim_folder(lock: RunLock, provenance: Provenance, resume: str | None) -> bool:
    """Whether there is something left to train; if so, the main process locks the folder.

    Args:
        lock: of the folder where the trainer saves.
        provenance: compared with the manifest in the folder.
        resume: `resume_from_checkpoint`, which asks for training if it is set.

    Raises `UserError` if another run is active in the folder.
    """

    def claim() -> bool:
        # A finished run needs no lock: it touches nothing.
        if resume is None and is_finished(lock.artifact, provenance):
            return False
        lock.acquire()
        return True

    # One process decides for all, because only one may lock.
    return ask_main_process(claim)


def find_resume_checkpoint(
    folder: Path, provenance: Provenance, resume: str | None, despite_changes: bool = False
) -> str | None:
    """The checkpoint to resume from, or `None` to start at step 0.

    The main process looks, and all processes get its answer. Incomplete and damaged checkpoints
    are removed on the way to the latest intact one.

    Args:
        folder: where the trainer saves.
        provenance: compared with the manifest in `folder`.
        resume: `resume_from_checkpoint`: a path, "false" to start from scratch (removes what is
            there), or `None` for automatic.
        despite_changes: resume although the provenance differs.

    Raises:
        UserError: the run in `folder` is a different one, or the named checkpoint cannot be used.
    """
    # The main process alone looks: others could see a folder that it has just removed.
    found = ask_main_process(
        lambda: _select_checkpoint(folder, provenance, resume, despite_changes)
    )
    if found and not Path(found).is_dir():
        raise UserError(
            f"{found} does not exist on this machine; several machines need an output_dir "
            "on a shared file system"
        )
    return found


def require_same_run(manifest: Path, provenance: Provenance, remedy: str) -> None:
    """Raises `UserError` if the artefact described by `manifest` has another provenance."""
    changes = find_changes(manifest, provenance)
    if changes:
        raise UserError(
            f"{manifest.parent} holds a run with another {', '.join(changes)} "
            f"({format_changes(changes)}). {remedy}, or choose another `--output_dir`"
        )


def find_changes(
    manifest: Path, provenance: Provenance, may_change: Collection[str] = frozenset(_MAY_CHANGE)
) -> Changes:
    """The keys in which the artefact described by `manifest` differs from `provenance`."""
    # Through JSON, so that both sides have the types of a file.
    old_parts = read_manifest(manifest)
    new_parts = json.loads(json.dumps(provenance.to_json(), default=str))
    changes: Changes = {}
    # Part by part, because two parts may have a key of the same name.
    for part, new in new_parts.items():
        if part not in old_parts:
            continue
        old = old_parts[part]
        for key in sorted(old.keys() | new.keys()):
            if key not in may_change and old.get(key) != new.get(key):
                changes[key] = (old.get(key), new.get(key))
    return changes


def format_changes(changes: Changes) -> str:
    """`learning_rate was 1e-05, is 2e-05; ...`"""
    return "; ".join(f"{key} was {old!r}, is {new!r}" for key, (old, new) in changes.items())


def is_finished(folder: Path, provenance: Provenance) -> bool:
    """Whether the model in `folder` is that of this very run, trained as long as it asks for."""
    path = folder / "manifest.json"
    if read_manifest(path).get("status") not in FINISHED or not any(folder.glob("*.safetensors")):
        return False
    return not find_changes(path, provenance, _MAY_CHANGE - _LENGTH_KEYS)


def _select_checkpoint(
    folder: Path, provenance: Provenance, resume: str | None, despite_changes: bool
) -> str | None:
    # Slurm re-queued the job: it resumes from what it saved, whatever the key was at first.
    requeued = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
    if requeued and list_checkpoints(folder):
        resume = None

    # The key decides: from scratch, from a named checkpoint, or automatic.
    if resume and resume.lower() == "false":
        if folder.exists():
            shutil.rmtree(folder)
        return None
    if resume and resume.lower() != "true":
        return _named_checkpoint(folder, resume)
    if not list_checkpoints(folder):
        return None
    # Automatic: only if it is the same run.
    _compare_runs(folder, provenance, despite_changes)
    return _latest_intact_checkpoint(folder)


def _named_checkpoint(folder: Path, name: str) -> str:
    path = Path(name)
    if not (path / "trainer_state.json").is_file():
        raise UserError(
            f"resume_from_checkpoint: {name!r} is not a checkpoint (it has no trainer_state.json)"
        )
    # One that another tool saved has no checksums.
    if (path / CHECKSUMS_FILE).exists():
        problem = find_corruption(path)
        if problem:
            raise UserError(f"resume_from_checkpoint: {name} {problem}")
    # The run branches off here.
    archive_later_checkpoints(folder, checkpoint_step(path))
    return name


def _compare_runs(folder: Path, provenance: Provenance, despite_changes: bool) -> None:
    # Other data, weights or settings would mix two runs in one model.
    manifest = folder / "manifest.json"
    if not despite_changes:
        remedy = (
            "Write `--resume-despite-changes` to resume, "
            "`--resume_from_checkpoint false` to start from scratch"
        )
        require_same_run(manifest, provenance, remedy)
        return
    # The user knows: say what differs, and go on.
    changes = find_changes(manifest, provenance)
    if changes:
        logger.warning("%s: resuming despite changes: %s", folder, format_changes(changes))


def _latest_intact_checkpoint(folder: Path) -> str | None:
    # The latest first; damaged ones on the way are removed.
    for path in list_checkpoints(folder):
        problem = find_corruption(path)
        if not problem:
            logger.info(
                "resuming from %s; `--resume_from_checkpoint false` starts from scratch", path
            )
            return str(path)
        logger.warning("%s %s and is removed", path, problem)
        shutil.rmtree(path)
    logger.warning("%s: no checkpoint is intact, so the run starts at step 0", folder)
    return None
