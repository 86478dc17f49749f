"""Runs whole stages from another command and reads their costs, for `compare` and `sweep`."""

import logging
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from recipes.core.config.yaml_files import read_yaml
from recipes.core.errors import UserError
from recipes.core.files import write_json
from recipes.core.paths import ROOT, launcher
from recipes.core.runs.fingerprints import file_sha256
from recipes.core.runs.manifest import FINISHED, read_manifest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """Seconds, and tokens of prompts and completions."""

    seconds: float = 0.0
    tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.tokens + other.tokens)


def recipe_folder(recipe: str) -> Path:
    """The folder of a recipe: a name in recipes/, or a path."""
    folder = Path(recipe).absolute() if Path(recipe).is_dir() else ROOT / "recipes" / recipe
    if not (folder / "sft.yaml").is_file():
        raise UserError(
            f"--recipe: there is no recipe {recipe!r}; write the name of a folder in recipes/, "
            "or a path"
        )
    return folder


def run_stage_command(
    name: str, recipe: Path, output_dir: Path, *keys: object, done: Path | None = None
) -> None:
    """Runs `./launch.sh NAME RECIPE/NAME.yaml --output_dir OUTPUT_DIR KEYS` with its log in logs/.

    Args:
        done: the manifest of the artefact; a stage that is `finished` is not run again.

    Raises:
        UserError: the stage failed, or has finished with another command, YAML or input file.
    """
    # What the artefact depends on: the command, its YAML, and the files that the command names.
    words = [*launcher(), name, str(recipe / f"{name}.yaml")]
    words += ["--output_dir", str(output_dir), *map(str, keys)]
    request = {
        "command": words,
        "yaml": read_yaml(recipe / f"{name}.yaml"),
        "files": {word: file_sha256(Path(word)) for word in words[3:] if Path(word).is_file()},
    }
    request_file = output_dir / "logs" / f"{name}.json"

    # An artefact of the same request is kept; one of another request is not overwritten.
    if done and read_manifest(done).get("status") in FINISHED:
        if read_manifest(request_file) != request:
            raise UserError(
                f"{done.parent} exists, but from another command, YAML or file "
                f"({request_file}); remove {output_dir}"
            )
        return

    # Run it. If it fails, the last line of its log is the error.
    started = time.time()
    write_json(request_file, request)
    log = output_dir / "logs" / f"{name}.txt"
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT).returncode
    if code:
        lines = log.read_text(encoding="utf-8").strip().splitlines() or [""]
        raise UserError(f"{' '.join(words)} ended with exit code {code} (log: {log}): {lines[-1]}")
    logger.info("%s in %s: %.0f s", name, output_dir, time.time() - started)


def training_cost(folder: Path) -> Cost:
    """What a training run cost, without its start."""
    logs = read_manifest(folder / "trainer_state.json")["log_history"]
    # Tokens are counted at logs only; an evaluation at the end has the final count.
    counts = [0]
    for log in logs:
        counts += [log.get("num_tokens", 0), log.get("eval_num_tokens", 0)]
    return Cost(logs[-1]["train_runtime"], int(max(counts)))


def sampling_cost(manifest: Path) -> Cost:
    """What sampling cost, by the manifest beside the samples; tokens are those of completions."""
    stats = read_manifest(manifest)["sampling"]
    # The manifest has a mean over completions; the cost is their sum.
    return Cost(stats["completions"] * stats["seconds_per_completion"], stats["tokens"])


def share_cores(jobs: int) -> None:
    """Shares the cores among `jobs` stages that run side by side.

    Threads that wait for a core at every matrix product are slower than no threads.
    """
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
