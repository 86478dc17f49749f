"""One run of a stage: its folder, its provenance, its manifest, and where it resumes."""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.core.config import Config
from recipes.core.errors import UserError
from recipes.core.files import filter_jsonl
from recipes.core.runs.checkpoints import checkpoint_step
from recipes.core.runs.fingerprints import input_fingerprint
from recipes.core.runs.lock import RunLock
from recipes.core.runs.manifest import Provenance, log_summary, read_manifest, write_manifest
from recipes.core.runs.resume import (
    ResumeArguments,
    claim_folder,
    find_changes,
    find_resume_checkpoint,
    require_same_run,
)
from recipes.core.runtime.device import process_state

logger = logging.getLogger(__name__)

# Called with a file of samples whose manifest has another provenance: refuse, or start over.
OnChange = Callable[[Path, Path, Provenance], None]


@dataclass
class TrainingRun:
    """A run of a stage that trains.

    Attributes:
        config: the configuration, final from here on.
        folder: where the trainer saves the model, its checkpoints and manifest.json.
        checkpoint: the checkpoint to resume from; `None` for a run that starts at step 0.
        is_finished: whether the same run has been finished before, and the stage ends here.
        lock: of the folder, held by the main process unless the run is finished.
        measured: facts about the run that every version of its manifest holds.
    """

    config: Config
    folder: Path
    provenance: Provenance
    checkpoint: str | None
    is_finished: bool
    lock: RunLock
    measured: dict[str, Any]
    started: float

    @classmethod
    def open(cls, config: Config, training_args: Any, inputs: Mapping[str, Any]) -> "TrainingRun":
        """Fingerprints the inputs, locks the folder and finds the checkpoint to resume from.

        A run that is finished already is left as it is, and said.

        Args:
            training_args: TRL's, as they will be used.
            inputs: datasets of questions, lists of rows and names of models, by what they are.

        Raises `UserError` if the folder holds a different run, or another process writes there.
        """
        started = config.started
        folder = Path(training_args.output_dir)
        # What the run is made from: compared with an earlier run, written to its manifest.
        provenance = Provenance(
            config=config.resolve(),
            inputs={name: input_fingerprint(value) for name, value in inputs.items()},
            batch={"processes": training_args.world_size},
        )
        # Where it resumes, unless it is finished. YAML reads `false` as a value of its own.
        named = training_args.resume_from_checkpoint
        resume = None if named is None else str(named)
        lock = RunLock(folder)
        is_finished = not claim_folder(lock, provenance, resume)
        checkpoint = None
        if is_finished:
            _log_finished(folder)
        else:
            despite_changes = config.parse(ResumeArguments).resume_despite_changes
            checkpoint = _resume(lock, provenance, resume, despite_changes)
        # What the manifest holds besides.
        measured = {
            "processes": training_args.world_size,
            "distributed_type": training_args.distributed_state.distributed_type.value,
        }
        if "wandb" in training_args.report_to:
            measured["wandb_run_id"] = _resume_wandb(folder)
        return cls(config, folder, provenance, checkpoint, is_finished, lock, measured, started)

    @property
    def stage(self) -> str:
        """Name of the stage."""
        assert self.config.stage
        return self.config.stage.name

    @property
    def resume_step(self) -> int | None:
        """The step after which the run resumes; `None` for a run that starts at step 0."""
        return checkpoint_step(Path(self.checkpoint)) if self.checkpoint else None

    def write_status(self, status: str, steps: int) -> None:
        """Writes the manifest; for the main process only.

        `status` is one of running, stopped, finished and "learnt nothing".
        """
        path = self.folder / "manifest.json"
        # Written again at each change of status: what is known so far is never lost.
        measured = self.measured | {"steps": steps, "status": status}
        write_manifest(path, self.stage, self.provenance, self.started, **measured)

    def log_summary(self, read: str, wrote: str) -> None:
        """Logs the last line of the stage."""
        log_summary(self.stage, read, wrote, self.started)


@dataclass
class SamplingRun:
    """A JSONL file of samples and the manifest beside it.

    As a context manager it is `running` inside and `finished` after an exit without an exception.

    Attributes:
        file: the samples; a run that is started again adds only those that are missing.
        lock: held by the main process inside.
        stats: what sampling took (`collect_samples` sets it); kept from the run before if nothing
            was missing.
    """

    stage: str
    file: Path
    provenance: Provenance
    on_change: OnChange
    stats: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    lock: RunLock = field(init=False)

    @property
    def manifest(self) -> Path:
        """The manifest of `file`: `name.manifest.json` beside `name.jsonl`."""
        return self.file.with_suffix(".manifest.json")

    def __enter__(self) -> "SamplingRun":
        state = process_state()
        self.lock = RunLock(self.file)
        self.stats = read_manifest(self.manifest).get("sampling", {})
        # The others wait, so that all of them see the file as the main process has left it.
        with state.main_process_first():
            if state.is_main_process:
                self.lock.acquire()
                self.on_change(self.file, self.manifest, self.provenance)
                if not self.file.exists():
                    self.stats = {}
                self._write("running")
                filter_jsonl(self.file, lambda row: True)  # drops a torn last line
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        # After an exception the manifest stays `running`, and the next run goes on.
        if kind is None and process_state().is_main_process:
            self._write("finished")
        self.lock.release()

    def _write(self, status: str) -> None:
        write_manifest(
            self.manifest,
            self.stage,
            self.provenance,
            self.started,
            status=status,
            sampling=self.stats,
        )


def refuse_changes(file: Path, manifest: Path, provenance: Provenance) -> None:
    """Raises `UserError` if the samples come from another configuration or other inputs."""
    remedy = f"Remove {file} and {manifest} to start from scratch"
    require_same_run(manifest, provenance, remedy)


def discard_changed(file: Path, manifest: Path, provenance: Provenance) -> None:
    """Deletes the samples if they come from another configuration or other inputs."""
    if find_changes(manifest, provenance):
        logger.info("%s was sampled with other settings and is sampled again", file)
        file.unlink(missing_ok=True)


def _resume(
    lock: RunLock, provenance: Provenance, resume: str | None, despite_changes: bool
) -> str | None:
    """The checkpoint to resume from; gives the folder free if it holds a different run."""
    try:
        return find_resume_checkpoint(lock.artifact, provenance, resume, despite_changes)
    except UserError:
        lock.release()
        raise


def _log_finished(folder: Path) -> None:
    manifest = read_manifest(folder / "manifest.json")
    logger.info(
        "%s: is already finished (status: %s; steps: %s); nothing is trained. To train it again, "
        "write `--resume_from_checkpoint false`, or another `--output_dir`",
        folder,
        manifest["status"],
        manifest["steps"],
    )


def _resume_wandb(folder: Path) -> str:
    """Tells wandb to continue the run whose id is in the manifest; returns a new id without one."""
    # The same id again, so that wandb shows one curve and not two.
    run_id = read_manifest(folder / "manifest.json").get("wandb_run_id") or uuid.uuid4().hex[:8]
    os.environ |= {"WANDB_RUN_ID": run_id, "WANDB_RESUME": "allow"}
    return str(run_id)
