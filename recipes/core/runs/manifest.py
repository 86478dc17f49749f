"""What made an artefact: `manifest.json` beside it holds the resolved configuration, versions, commit, data and seed."""

import json
import logging
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.files import write_json
from recipes.core.runs.fingerprints import git_commit

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)


_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify")


def write_manifest(
    path: Path, stage: str, made_of: dict[str, Any], started: float, **facts: Any
) -> None:
    """Writes the manifest of one artefact.

    Args:
        path: the JSON file.
        made_of: {"config": the resolved configuration without secrets, "inputs": hashes of what was read}. A later run goes
            on with the artefact only if it is made of the same (`resume.refuse_other_run`).
        started: `time.time()` at the start of the stage.
        facts: anything that was counted or measured.
    """
    engine = {"vllm": sys.modules["vllm"].__version__} if "vllm" in sys.modules else {}
    about = {
        "stage": stage,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - started, 1),
        "git_commit": git_commit(),
        "versions": {package: version(package) for package in _PACKAGES} | engine,
    }
    write_json(path, about | facts | made_of)


def read_manifest(path: Path) -> dict[str, Any]:
    """What `write` wrote; empty if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def log_summary(stage: str, read: str, left: str, started: float) -> None:
    """The one line a stage ends with: what it read, what it left, how long it took."""
    logger.info("%s: read %s; left %s; took %.0f s", stage, read, left, time.time() - started)
