"""Running whole stages from another command: what `compare` and `sweep` are made of."""

import logging
import os
import subprocess
import time
from pathlib import Path

from recipes.core.config.yaml_files import read_yaml
from recipes.core.errors import UserError
from recipes.core.files import write_json
from recipes.core.paths import ROOT
from recipes.core.runs.fingerprints import file_sha256
from recipes.core.runs.manifest import read_manifest

logger = logging.getLogger(__name__)

Cost = tuple[float, int]  # seconds and tokens


def recipe_folder(recipe: str) -> Path:
    """The folder with the four YAMLs: a name in recipes/, or a path. Raises `UserError` if there is none."""
    folder = Path(recipe).absolute() if Path(recipe).is_dir() else ROOT / "recipes" / recipe
    if not (folder / "sft.yaml").is_file():
        raise UserError(
            f"--recipe: there is no recipe {recipe!r}; write the name of a folder in recipes/, or a path"
        )
    return folder


def run_stage_command(
    name: str, recipe: Path, output_dir: Path, *keys: object, done: Path | None = None
) -> None:
    """Runs `./launch.sh NAME RECIPE/NAME.yaml --output_dir OUTPUT_DIR KEYS`, unless the manifest `done` says that it has
    been run to its end. What it prints is in `output_dir`/logs/. Raises `UserError` with its last line if it fails."""
    words = [
        "./launch.sh",
        name,
        str(recipe / f"{name}.yaml"),
        "--output_dir",
        str(output_dir),
        *map(str, keys),
    ]
    log, asked_file, started = (
        output_dir / "logs" / f"{name}.txt",
        output_dir / "logs" / f"{name}.json",
        time.time(),
    )
    files = {word: file_sha256(Path(word)) for word in words[3:] if Path(word).is_file()}
    asked = {"command": words, "yaml": read_yaml(recipe / f"{name}.yaml"), "files": files}
    if done and read_manifest(done).get("status") == "finished":
        if read_manifest(asked_file) != asked:
            raise UserError(
                f"{done.parent} is there, but of another command, YAML or file ({asked_file}); remove {output_dir}"
            )
        return
    write_json(asked_file, asked)
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(words, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode
    if code:
        lines = log.read_text(encoding="utf-8").strip().splitlines() or [""]
        raise UserError(
            f"{' '.join(words)} ended with exit code {code} (all of it: {log}): {lines[-1]}"
        )
    logger.info("%s in %s: %.0f s", name, output_dir, time.time() - started)


def training_cost(folder: Path) -> Cost:
    """What a training took, without starting up: seconds, and tokens of prompts and completions."""
    logs = read_manifest(folder / "trainer_state.json")["log_history"]
    # Between two logs tokens are not written down; an evaluation at the end writes the count of all.
    tokens = max(log.get(key, 0) for log in logs for key in ("num_tokens", "eval_num_tokens"))
    return logs[-1]["train_runtime"], int(tokens)


def sampling_cost(about: Path) -> Cost:
    """What drawing completions took, by the manifest beside them: seconds, and tokens of the completions."""
    drawn = read_manifest(about)["sampling"]
    return drawn["completions"] * drawn["seconds_per_completion"], drawn["tokens"]


def share_cores(jobs: int) -> None:
    """Shares the cores among `jobs` stages that run side by side: threads that wait for a core at every matrix product are slower
    than no threads."""
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
