"""Which configuration keys a stage knows, and which must never be written down."""

import ast
import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recipes.core.config.other_keys import ALIASES, FOREIGN_KEYS, REFUSED_KEYS, RENAMED_KEYS
from recipes.core.errors import UserError

# Files that define TRL's training arguments; read as text, because importing them takes seconds.
_ARGUMENT_FILES = {
    "GRPOConfig": "trl/trainer/grpo_config.py",
    "DistillationConfig": "trl/trainer/distillation_config.py",
    "SFTConfig": "trl/trainer/sft_config.py",
}
_SHARED_ARGUMENT_FILES = ("trl/trainer/base_config.py", "transformers/training_args.py")

_SECRET_WORDS = ("secret", "password", "api_key")


def check_keys(sources: Mapping[str, Mapping[str, Any]], known: set[str]) -> None:
    """Raises `UserError`, which lists all mistakes, if a key is not one of `known`.

    Args:
        sources: the keys with their values, by the name of the file or line that sets them.
    """
    mistakes = []
    for source, keys in sources.items():
        problems = [_describe_problem(key, value, known) for key, value in keys.items()]
        found = [problem for problem in problems if problem]
        if found:
            mistakes.append(f"{source}: {'; '.join(found)}")
    if mistakes:
        raise UserError("; ".join(mistakes))


def check_key(key: str, known: set[str], source: str) -> None:
    """The same for one key, found in `source`."""
    check_keys({source: {key: True}}, known)


def _describe_problem(key: str, value: Any, known: set[str]) -> str | None:
    """What is wrong with a key, and what to write; `None` if nothing is."""
    # Renamed keys first: TRL still accepts some of them, with a warning that scrolls by.
    if key in RENAMED_KEYS:
        return f"the key `{key}` is no longer used: {RENAMED_KEYS[key]}"
    # TRL knows these too; a YAML that sets them to nothing may keep its line.
    if key in REFUSED_KEYS and value:
        return f"the key `{key}` is not used here: {REFUSED_KEYS[key]}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if key == "warmup_ratio" and is_number and not 0 <= value < 1:
        return f"`{key}` is {value}: a fraction of the steps is below 1; write `warmup_steps`"
    if key in known or ALIASES.get(key) in known or key == "env":
        return None
    if key in FOREIGN_KEYS:
        return f"unknown key `{key}`: {FOREIGN_KEYS[key]}"
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "--help lists the keys"
    return f"unknown key `{key}`; {hint}"


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
