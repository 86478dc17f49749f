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
from recipes.core.files import filter_jsonl
from recipes.core.runs.checkpoints import checkpoint_step
from recipes.core.runs.fingerprints import input_fingerprint
from recipes.core.runs.manifest import Provenance, log_summary, read_manifest, write_manifest
from recipes.core.runs.resume import (
    ResumeArguments,
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
        measured: facts about the run that every version of its manifest holds.
    """

    config: Config
    folder: Path
    provenance: Provenance
    checkpoint: str | None
    measured: dict[str, Any]
    started: float

    @classmethod
    def open(cls, config: Config, training_args: Any, inputs: Mapping[str, Any]) -> "TrainingRun":
        """Fingerprints the inputs and finds the checkpoint to resume from.

        Args:
            training_args: TRL's, as they will be used.
            inputs: datasets of questions, lists of rows and names of models, by what they are.

        Raises `UserError` if the folder holds a different run.
        """
        started = config.started
        folder = Path(training_args.output_dir)
        # What the run is made from: compared with an earlier run, written to its manifest.
        provenance = Provenance(
            config=config.resolve(),
            inputs={name: input_fingerprint(value) for name, value in inputs.items()},
            batch={"processes": training_args.world_size},
        )
        # Where it resumes.
        checkpoint = find_resume_checkpoint(
            folder,
            provenance,
            training_args.resume_from_checkpoint,
            config.parse(ResumeArguments).resume_despite_changes,
        )
        # What the manifest holds besides.
        measured = {
            "processes": training_args.world_size,
            "distributed_type": training_args.distributed_state.distributed_type.value,
        }
        if "wandb" in training_args.report_to:
            measured["wandb_run_id"] = _resume_wandb(folder)
        return cls(config, folder, provenance, checkpoint, measured, started)

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

        `status` is one of running, stopped and finished.
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
        stats: what sampling took (`collect_samples` sets it); kept from the run before if nothing
            was missing.
    """

    stage: str
    file: Path
    provenance: Provenance
    on_change: OnChange
    stats: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    @property
    def manifest(self) -> Path:
        """The manifest of `file`: `name.manifest.json` beside `name.jsonl`."""
        return self.file.with_suffix(".manifest.json")

    def __enter__(self) -> "SamplingRun":
        state = process_state()
        self.stats = read_manifest(self.manifest).get("sampling", {})
        # The others wait, so that all of them see the file as the main process has left it.
        with state.main_process_first():
            if state.is_main_process:
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


def _resume_wandb(folder: Path) -> str:
    """Tells wandb to continue the run whose id is in the manifest; returns a new id without one."""
    # The same id again, so that wandb shows one curve and not two.
    run_id = read_manifest(folder / "manifest.json").get("wandb_run_id") or uuid.uuid4().hex[:8]
    os.environ |= {"WANDB_RUN_ID": run_id, "WANDB_RESUME": "allow"}
    return str(run_id)
