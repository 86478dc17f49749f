"""Going on where a killed run stopped, and refusing to go on as something else."""

import json
import logging
import os
import shutil
from dataclasses import dataclass, field
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
from recipes.core.runs.manifest import read_manifest

logger = logging.getLogger(__name__)

# Keys that may change between a run and its continuation: how long, how often, where to.
_MAY_CHANGE = {
    "dataloader_num_workers", "ddp_timeout", "disable_tqdm", "eval_steps", "eval_strategy", "logging_steps", "max_seconds",
    "max_steps", "num_train_epochs", "output_dir", "report_to", "resume_anyway", "resume_from_checkpoint", "run_name",
    "save_steps", "save_strategy", "save_total_limit",
}  # fmt: skip


@dataclass
class ResumeArguments:
    """The key of every training that is about going on."""

    resume_anyway: bool = field(
        default=False,
        metadata={"help": "Go on although data, model, rewards or settings are others."},
    )


def find_resume_checkpoint(
    folder: Path, made_of: dict[str, Any], resume: str | None, anyway: bool = False
) -> str | None:
    """The checkpoint to go on from; `None` to start at step 0. The first process looks, all get its answer.

    Args:
        folder: where the trainer saves.
        made_of: configuration and inputs, compared with those in `folder`/manifest.json.
        resume: the key `resume_from_checkpoint`: a path, "false" to start anew (removes what is there), or `None` for automatic.
        anyway: go on although they differ.

    A checkpoint that a kill left half written, or that is not what was written, is removed and the one before it taken. Raises
    `UserError` if the run there was another one.
    """
    import torch
    from accelerate.utils import broadcast_object_list

    answer: list[str | None] = [None, None]  # the checkpoint, and what is wrong
    if os.environ.get("RANK", "0") == "0":
        try:
            answer[0] = _select_checkpoint(folder, made_of, resume, anyway)
        except UserError as error:
            answer[1] = str(error)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        broadcast_object_list(answer)
    found, wrong = answer
    if not wrong and found and not Path(found).is_dir():
        wrong = f"{found} is not on this machine; several machines need an output_dir that all of them see"
    if wrong:
        raise UserError(wrong)
    return found


def _select_checkpoint(
    folder: Path, made_of: dict[str, Any], resume: str | None, anyway: bool
) -> str | None:
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")) and list_checkpoints(folder):
        resume = None  # a job that was queued again goes on from what it has saved, whatever the key said at first
    if resume and resume.lower() not in ("true", "false"):
        path = Path(resume)
        if not (path / "trainer_state.json").is_file():
            raise UserError(
                f"resume_from_checkpoint: {resume!r} is not a checkpoint (no trainer_state.json)"
            )
        if (path / CHECKSUMS_FILE).exists() and (wrong := find_corruption(path)):
            raise UserError(f"resume_from_checkpoint: {resume} {wrong}")
        archive_later_checkpoints(folder, checkpoint_step(path))
        return resume
    if resume and resume.lower() == "false":
        if folder.exists():
            shutil.rmtree(folder)
        return None
    there = list_checkpoints(folder)
    if not there:
        return None
    if not anyway:
        require_same_run(
            folder / "manifest.json",
            made_of,
            "Write `--resume-anyway` to go on, `--resume_from_checkpoint false` to start anew",
        )
    elif changed := find_changes(folder / "manifest.json", made_of):
        logger.warning("%s: goes on although these differ: %s", folder, format_changes(changed))
    for path in there:
        wrong = find_corruption(path)
        if not wrong:
            logger.info("going on from %s; `--resume_from_checkpoint false` starts anew", path)
            return str(path)
        logger.warning("%s %s and is removed", path, wrong)
        shutil.rmtree(path)
    logger.warning("%s: no checkpoint is whole, so the run starts at step 0", folder)
    return None


def require_same_run(manifest: Path, made_of: dict[str, Any], cure: str) -> None:
    """Raises `UserError` if the artefact described by `manifest` was made of other settings or inputs than `made_of`."""
    if changed := find_changes(manifest, made_of):
        raise UserError(
            f"{manifest.parent} holds a run with another {', '.join(changed)} ({format_changes(changed)}). {cure}, or another `--output_dir`"
        )


def format_changes(changed: dict[str, tuple[Any, Any]]) -> str:
    """What `differs` found, in words."""
    return "; ".join(f"{key} was {old!r}, is {new!r}" for key, (old, new) in changed.items())


def find_changes(manifest: Path, made_of: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where an artefact was made of something else than `made_of`, by its manifest: old and new value by key."""
    before, now = read_manifest(manifest), json.loads(json.dumps(made_of, default=str))
    if not before:
        return {}
    return {
        key: (before.get(part, {}).get(key), values.get(key))
        for part, values in now.items()
        if part in before
        for key in sorted({*before.get(part, {}), *values} - _MAY_CHANGE)
        if before.get(part, {}).get(key) != values.get(key)
    }
