"""Going on where a killed run stopped, and refusing to go on as something else."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from recipes.core.config import UserError
from recipes.core.manifest import read

logger = logging.getLogger(__name__)

# Keys that may change between a run and its continuation: how long, how often, where to.
_MAY_CHANGE = {
    "dataloader_num_workers", "disable_tqdm", "eval_steps", "eval_strategy", "logging_steps", "max_seconds", "max_steps",
    "num_train_epochs", "output_dir", "report_to", "resume_from_checkpoint", "run_name", "save_steps", "save_strategy",
    "save_total_limit",
}  # fmt: skip


def checkpoint(folder: Path, made_of: dict[str, Any], resume: str | None) -> str | None:
    """The checkpoint to go on from; `None` to start at step 0.

    Args:
        folder: where the trainer saves.
        made_of: configuration and inputs, compared with those in `folder`/manifest.json.
        resume: the key `resume_from_checkpoint`: a path, "false" to start anew (removes what is there), or `None` for automatic.

    A checkpoint that a kill left half written is removed. Raises `UserError` if the run there was another one.
    """
    if resume and resume.lower() not in ("true", "false"):
        if not Path(resume, "trainer_state.json").is_file():
            raise UserError(f"resume_from_checkpoint: {resume!r} is not a checkpoint (no trainer_state.json)")
        return resume
    first = os.environ.get("RANK", "0") == "0"  # the only process that removes anything; it looks before the others do
    if resume and resume.lower() == "false":
        if first and folder.exists():
            shutil.rmtree(folder)
        return None
    checkpoints = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
    for path in [path for path in checkpoints if not _complete(path)]:
        checkpoints.remove(path)
        if first:
            logger.warning("%s was not written to its end and is removed", path)
            shutil.rmtree(path)
    if not checkpoints:
        return None
    refuse_other_run(folder / "manifest.json", made_of, "Write `--resume_from_checkpoint false` to start anew")
    last = max(checkpoints, key=lambda path: int(path.name.partition("-")[2]))
    logger.info("going on from %s; `--resume_from_checkpoint false` starts anew", last)
    return str(last)


def _complete(checkpoint: Path) -> bool:
    try:  # transformers writes this file last
        return "global_step" in json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False


def refuse_other_run(manifest: Path, made_of: dict[str, Any], cure: str) -> None:
    """Raises `UserError` if the artefact described by `manifest` was made of other settings or inputs than `made_of`."""
    if changed := differs(manifest, made_of):
        key, (old, new) = next(iter(changed.items()))
        raise UserError(
            f"{manifest.parent} holds a run with another {', '.join(changed)} ({key} was {old!r}, is {new!r}). "
            f"{cure}, or another `--output_dir`"
        )


def differs(manifest: Path, made_of: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where an artefact was made of something else than `made_of`, by its manifest: old and new value by key."""
    before, now = read(manifest), json.loads(json.dumps(made_of, default=str))
    if not before:
        return {}
    return {
        key: (before.get(part, {}).get(key), values.get(key))
        for part, values in now.items()
        for key in sorted({*before.get(part, {}), *values} - _MAY_CHANGE)
        if before.get(part, {}).get(key) != values.get(key)
    }
