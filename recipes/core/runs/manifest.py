"""The manifest beside every artefact: configuration, inputs, versions, commit and status."""

import json
import logging
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recipes.core.files import write_json
from recipes.core.runs.fingerprints import git_commit

logger = logging.getLogger(__name__)

# The statuses of a training that has done all of its steps.
LEARNT_NOTHING = "learnt nothing"
FINISHED = ("finished", LEARNT_NOTHING)

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify")


@dataclass(frozen=True)
class Provenance:
    """What an artefact is made from. A run resumes only if all of it is unchanged.

    Attributes:
        config: the resolved configuration, without secrets.
        inputs: fingerprints of the datasets and models that were read.
        batch: how the batch is spread, such as {"processes": 2}; empty for sampling.
        model: metadata of the model that answered; only in evaluation.
    """

    config: dict[str, Any]
    inputs: dict[str, Any]
    batch: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The parts that are not empty, by name."""
        return {name: part for name, part in vars(self).items() if part}


def write_manifest(
    path: Path, stage: str, provenance: Provenance, started: float, **measured: Any
) -> None:
    """Writes the manifest of one artefact.

    Args:
        path: the JSON file.
        stage: the stage that writes the artefact.
        started: `time.time()` at the start of the stage.
        measured: `status`, and anything that was counted or timed.
    """
    # The versions of what decides the numbers.
    versions = {package: version(package) for package in _PACKAGES}
    if "vllm" in sys.modules:
        versions["vllm"] = sys.modules["vllm"].__version__
    # What is known of every artefact, then what was measured, then what it was made from.
    document = {
        "stage": stage,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - started, 1),
        "git_commit": git_commit(),
        "versions": versions,
    }
    write_json(path, document | measured | provenance.to_json())


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest at `path`; empty if there is none."""
    # No manifest: the artefact was never begun.
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def log_summary(stage: str, read: str, wrote: str, started: float) -> None:
    """Logs the last line of a stage: what it read, what it wrote, and how long it took."""
    seconds = time.time() - started
    logger.info("%s: read %s; wrote %s; took %.0f s", stage, read, wrote, seconds)
