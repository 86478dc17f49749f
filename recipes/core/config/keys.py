"""Which keys there are, which there were, and which must not be written down."""

import ast
import difflib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from recipes.core.errors import UserError

# Keys that TRL or transformers renamed or removed, and what to write today.
RENAMED_KEYS = {
    "torch_dtype": "write `dtype`",
    "max_seq_length": "write `max_length`",
    "overwrite_output_dir": "a run resumes by itself; write `resume_from_checkpoint: false` to start anew",
    "evaluation_strategy": "write `eval_strategy`",
    "vllm_importance_sampling_cap": "write `vllm_importance_sampling_clip_max`",
    "use_transformers_paged": "write `use_transformers_continuous_batching`",
    "max_new_tokens": "write `max_completion_length`",
    "num_samples": "write `num_generations`",
    "max_steps_per_generation": "write `steps_per_generation`",
    "no_cuda": "write `use_cpu`",
    "tokenizer_name_or_path": "the tokenizer is read from `model_name_or_path`",
}


# Where TRL's training arguments are defined; read as text, because importing them costs seconds.
_TRAINING_ARGUMENTS_FILES = {
    "GRPOConfig": (
        "trl/trainer/grpo_config.py",
        "trl/trainer/base_config.py",
        "transformers/training_args.py",
    ),
    "DistillationConfig": (
        "trl/trainer/distillation_config.py",
        "trl/trainer/base_config.py",
        "transformers/training_args.py",
    ),
    "SFTConfig": (
        "trl/trainer/sft_config.py",
        "trl/trainer/base_config.py",
        "transformers/training_args.py",
    ),
}


def check_key(key: str, known: set[str], source: str) -> None:
    """Raises `UserError` if `key`, found in `source`, is not one of `known`."""
    if key in RENAMED_KEYS:  # first: TRL still takes some of them, with a warning that scrolls by
        raise UserError(f"{source}: the key `{key}` is not used any more: {RENAMED_KEYS[key]}")
    if key in known or key == "env":
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "--help lists the keys"
    raise UserError(f"{source}: unknown key `{key}`; {hint}")


def training_keys(cls: str) -> set[str]:
    """The keys of TRL's "GRPOConfig", "SFTConfig" or "DistillationConfig", without importing it."""
    return {name for file in _TRAINING_ARGUMENTS_FILES[cls] for name in _field_names(file)}


def _field_names(file: str) -> Iterator[str]:
    """The annotated names in the classes of a package's file, such as "trl/trainer/sft_config.py", without importing it."""
    package, _, inside = file.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    tree = ast.parse(Path(spec.submodule_search_locations[0], inside).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    yield statement.target.id


def is_secret(key: str) -> bool:
    return key == "hub_token" or any(
        word in key.lower() for word in ("secret", "password", "api_key")
    )
