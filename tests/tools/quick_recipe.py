"""A copy of the recipe arithmetic that trains for two steps, for the tests of compare and sweep."""

from pathlib import Path

import yaml

from recipes.core.config.yaml_files import read_yaml
from tests.support.commands import ROOT

CHANGES = {
    "grpo": {"max_steps": 2, "per_device_train_batch_size": 32, "num_generations": 8},
    "generate": {"max_train_samples": 100, "num_generations": 2},
    "sft": {"max_steps": 2, "logging_steps": 1},
    "evaluate": {"max_eval_samples": 20, "eval_sets": None, "models": ["policy", "student"]},
}


def make_quick_recipe(folder: Path) -> Path:
    """Writes the recipe's YAML files to a folder."""
    for stage, changes in CHANGES.items():
        values = read_yaml(ROOT / f"recipes/arithmetic/{stage}.yaml")
        text = yaml.safe_dump(values | changes)
        (folder / f"{stage}.yaml").write_text(text)
    return folder
