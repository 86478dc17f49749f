"""Known, renamed and secret configuration keys."""

import ast
import difflib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from recipes.core.errors import UserError

# Keys that TRL, transformers or this repository renamed or removed, and what to write today.
RENAMED_KEYS = {
    # TRL and transformers
    "torch_dtype": "write `dtype`",
    "max_seq_length": "write `max_length`",
    "overwrite_output_dir": (
        "a run resumes by itself; write `resume_from_checkpoint: false` to start from scratch"
    ),
    "evaluation_strategy": "write `eval_strategy`",
    "vllm_importance_sampling_cap": "write `vllm_importance_sampling_clip_max`",
    "use_transformers_paged": "write `use_transformers_continuous_batching`",
    "max_new_tokens": "write `max_completion_length`",
    "num_samples": "write `num_generations`",
    "max_steps_per_generation": "write `steps_per_generation`",
    "no_cuda": "write `use_cpu`",
    "tokenizer_name_or_path": "the tokenizer is read from `model_name_or_path`",
    # this repository
    "verdict": "write `correctness_reward`",
    "resume_anyway": "write `resume_despite_changes`",
    "short_share": "write `short_fraction`",
    "distillation": "on-policy distillation is a stage: run `on_policy` with its own YAML",
    "on_policy": "on-policy distillation is a stage: write these keys to on_policy.yaml",
}

# Files that define TRL's training arguments; read as text, because importing them takes seconds.
_ARGUMENT_FILES = {
    "GRPOConfig": "trl/trainer/grpo_config.py",
    "DistillationConfig": "trl/trainer/distillation_config.py",
    "SFTConfig": "trl/trainer/sft_config.py",
}
_SHARED_ARGUMENT_FILES = ("trl/trainer/base_config.py", "transformers/training_args.py")

_SECRET_WORDS = ("secret", "password", "api_key")


def check_key(key: str, known: set[str], source: str) -> None:
    """Raises `UserError` if `key`, found in `source`, is not one of `known`."""
    # Renamed keys first: TRL still accepts some of them, with a warning that scrolls by.
    if key in RENAMED_KEYS:
        raise UserError(f"{source}: the key `{key}` is no longer used: {RENAMED_KEYS[key]}")
    if key in known or key == "env":
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "--help lists the keys"
    raise UserError(f"{source}: unknown key `{key}`; {hint}")


def training_keys(name: str) -> set[str]:
    """The keys of TRL's class `name`, such as "GRPOConfig", without importing it."""
    keys = set(_field_names(_ARGUMENT_FILES[name]))
    for file in _SHARED_ARGUMENT_FILES:
        keys.update(_field_names(file))
    return keys


def is_secret(key: str) -> bool:
    """Whether the value of `key` must never be written to a file or a log."""
    return key == "hub_token" or any(word in key.lower() for word in _SECRET_WORDS)


def _field_names(file: str) -> Iterator[str]:
    """Annotated names of the classes in a package's file, such as "trl/trainer/sft_config.py"."""
    package, _, path = file.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    # The package's source is found without importing it.
    source = Path(spec.submodule_search_locations[0], path).read_text(encoding="utf-8")
    # Every annotated name in a class body is a field of a dataclass.
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                yield statement.target.id
