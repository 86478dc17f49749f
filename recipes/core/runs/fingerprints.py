"""Hashes of datasets and models, and the git commit: what a run was made from."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.models.loading import adapter_base
from recipes.core.paths import ROOT

if TYPE_CHECKING:
    from datasets import Dataset


def input_fingerprint(value: Any) -> Any:
    """The fingerprint of one input of a run.

    Args:
        value: a dataset of questions, a list of rows, or the folder or hub id of a model.
    """
    if isinstance(value, str):
        return model_sha256(value)
    if isinstance(value, list):
        return rows_sha256(value)
    return dataset_fingerprint(value)


def dataset_fingerprint(dataset: "Dataset") -> dict[str, Any]:
    """Number of rows and a hash of questions and answers in order; the same on every machine."""
    digest = hashlib.sha256()
    # Not the file: the same rows count as the same data, whatever they are stored in.
    for question, answer in zip(dataset["question"], dataset["answer"], strict=True):
        digest.update(f"{question}\0{answer}\0".encode())
    return {"rows": len(dataset), "sha256": digest.hexdigest()}


def model_sha256(name: str | Path) -> str | None:
    """A hash of a local model's weights and the name of its adapter's base.

    `None` for a hub id, whose revision is part of the configuration, and for an address.
    """
    folder = Path(name)
    if not folder.is_dir():
        return None
    # An adapter's weights mean nothing without their base.
    digest = hashlib.sha256((adapter_base(folder) or "").encode())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file_sha256(file).encode())
    return digest.hexdigest()


def rows_sha256(rows: list[dict[str, Any]]) -> str:
    """A hash of rows that can be written as JSON."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_commit() -> str | None:
    """The commit of this repository, with `-dirty` if files differ; `None` outside a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    command += ["--abbrev=40", "--exclude=*"]
    # An installation without git, or outside a checkout, is no mistake.
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
