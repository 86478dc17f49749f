"""What made an artefact: `manifest.json` beside it holds the resolved configuration, versions, commit, data and seed."""

import hashlib
import json
import logging
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core import files as jsonl
from recipes.core.config.config import ROOT
from recipes.core.models.loading import adapter_base

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify")


def write(path: Path, stage: str, made_of: dict[str, Any], started: float, **facts: Any) -> None:
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
    jsonl.write_document(path, about | facts | made_of)


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote; empty if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def fingerprint(dataset: "Dataset") -> dict[str, Any]:
    """Number of rows and a hash of the questions and answers, in order. The same on every machine."""
    digest = hashlib.sha256()
    for question, answer in zip(dataset["question"], dataset["answer"], strict=True):
        digest.update(f"{question}\0{answer}\0".encode())
    return {"rows": len(dataset), "sha256": digest.hexdigest()}


def model_sha256(name: str | Path) -> str | None:
    """A hash of a local model's weights and of its adapter's base; `None` for a hub id, whose revision is in the configuration."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256((adapter_base(folder) or "").encode())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file_sha256(file).encode())
    return digest.hexdigest()


def rows_sha256(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_commit() -> str | None:
    """The commit of this repository, with `-dirty` if files differ from it; `None` outside a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def say(stage: str, read: str, left: str, started: float) -> None:
    """The one line a stage ends with: what it read, what it left, how long it took."""
    logger.info("%s: read %s; left %s; took %.0f s", stage, read, left, time.time() - started)
