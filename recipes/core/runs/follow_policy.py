"""A later stage asks the policy's questions in its form, unless its own YAML says otherwise."""

import logging
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from trl import ModelConfig, ScriptArguments

from recipes.core.config import Config
from recipes.core.data.questions import DataArguments
from recipes.core.runs.manifest import read_manifest

logger = logging.getLogger(__name__)

# How many questions are used, and how long, is the business of each stage.
_LIMITS = {"max_train_samples", "max_eval_samples", "max_prompt_length"}
_OF_NO_EFFECT = {"dataset_streaming", "ignore_bias_buffers"}
_DEFAULTS = {
    f.name: f.default
    for f in (*fields(ScriptArguments), *fields(DataArguments))
    if f.name not in _LIMITS | _OF_NO_EFFECT
}
FOLLOWED_KEYS = tuple(_DEFAULTS)


def follow_policy(config: Config, keys: Iterable[str] = FOLLOWED_KEYS) -> None:
    """Sets the keys of the data that are written nowhere to those of the policy, in place.

    A key that is written differently is kept and said. Call it before any key is parsed.

    Args:
        keys: those that the stage shares with the training of the policy.
    """
    manifest = _policy_manifest(config)
    trained = read_manifest(manifest).get("config")
    if trained is None:
        return
    values = {key: trained.get(key, _DEFAULTS[key]) for key in keys}
    written = [key for key in values if config.is_written(key)]

    # What is written nowhere is as it was for the policy.
    followed = []
    for key in values.keys() - written:
        value = values[key]
        if value != config.keys.values.get(key, _DEFAULTS[key]):
            if key == "chat_template":
                value = _saved_template(manifest.parent) or value
            config.keys.set(key, value, manifest)
            followed.append(f"{key}: {value}")
    if followed:
        logger.info("as in %s: %s", manifest, "; ".join(sorted(followed)))

    # What the user has written wins. The held-out questions had no part in the training.
    args: Any = config.parse(DataArguments)
    for key in written:
        if key != "dataset_test_split" and getattr(args, key) != values[key]:
            logger.warning(
                "%s is %r here, and was %r when the policy was trained (%s)",
                key,
                getattr(args, key),
                values[key],
                manifest,
            )


def trained_split(config: Config) -> tuple[Any, Any, Any]:
    """Dataset, configuration and split that the model of this stage is or was trained on."""
    args: Any = config.parse(DataArguments)
    trained: dict[str, Any] = {}
    # A stage that only samples has the policy of the run, if there is one.
    if config.stage and not config.stage.trl_config:
        trained = read_manifest(_policy_manifest(config)).get("config", {})
    keys = ("dataset_name", "dataset_config", "dataset_train_split")
    name, subset, split = (trained.get(key, getattr(args, key)) for key in keys)
    return name, subset, split


def _saved_template(policy: Path) -> str | None:
    """The chat template that is saved with the policy; the file it came from may have moved."""
    template = policy / "chat_template.jinja"
    return str(template) if template.is_file() else None


def _policy_manifest(config: Config) -> Path:
    """The manifest of the policy that the stage reads: its model's, or that of the run."""
    model = config.parse(ModelConfig).model_name_or_path
    if model:
        manifest = Path(model) / "manifest.json"
        if read_manifest(manifest).get("stage") == "grpo":
            return manifest
    return config.run_dir / "policy" / "manifest.json"
