"""Reads recipe YAMLs, the files they extend, and lists given on the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.core.config.yaml_text import parse_yaml
from recipes.core.errors import UserError
from recipes.core.paths import DEFAULTS

# A key, and those of less specific files that it displaces: both together would contradict, and
# the recipe's own key must not lose to a default that its author never wrote.
DISPLACED_KEYS = {
    "num_train_epochs": ("max_steps",),
    "warmup_ratio": ("warmup_steps",),
    "warmup_steps": ("warmup_ratio",),
    "rewards": ("reward_funcs", "reward_weights", "reward_model_name_or_path"),
    "reward_funcs": ("rewards",),
    "reward_model_name_or_path": ("rewards",),
    "steps_per_generation": ("generation_batch_size",),
    "generation_batch_size": ("steps_per_generation",),
    "load_in_4bit": ("load_in_8bit",),
    "load_in_8bit": ("load_in_4bit",),
}


@dataclass
class YamlKeys:
    """The keys of a recipe's YAML and of the files it extends.

    Attributes:
        values: as YAML reads them.
        written: as they are written, with `no` and 1e-6 as text.
        origins: the file that sets each key.
    """

    values: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Path] = field(default_factory=dict)

    def remove(self, key: str) -> None:
        """Forgets a key, if it is there."""
        for mapping in (self.values, self.written, self.origins):
            mapping.pop(key, None)

    def set(self, key: str, value: Any, origin: Path) -> None:
        """Sets a key to a typed value, which is no text of a YAML."""
        self.values[key] = value
        self.written.pop(key, None)
        self.origins[key] = origin

    def rename(self, old: str, new: str) -> None:
        """Renames a key, if it is there. One that already has the new name wins."""
        for mapping in (self.values, self.written, self.origins):
            if old in mapping:
                value = mapping.pop(old)
                mapping.setdefault(new, value)


def recipe_name(config: str | Path) -> str:
    """The recipe that a YAML belongs to: the name of its folder."""
    return Path(config).absolute().parent.name


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a recipe's YAML over those of the files it extends; see `read_keys`."""
    return read_keys(path).values


def read_keys(path: Path) -> YamlKeys:
    """The keys of a recipe's YAML over those of the files it extends, with their origins.

    `extends` is a path or a list of paths, relative to the YAML; a later file wins over an earlier
    one, and an extended file may not extend another. Mappings are merged key by key.
    """
    own = _read_file(path)
    extended = own.values.get("extends") or []
    own.remove("extends")
    # The extended files in their order, each over those before it.
    merged = YamlKeys()
    for name in [extended] if isinstance(extended, str) else extended:
        base_path = _extended_path(path, name)
        base = _read_file(base_path)
        if "extends" in base.values:
            raise UserError(
                f"{base_path}: is extended by {path} and may not extend another file; "
                "only one level is allowed"
            )
        _put_over(merged, base)
    # The recipe's own keys win.
    _put_over(merged, own)
    return merged


def displaced_by(keys: dict[str, Any]) -> set[str]:
    """The keys of less specific sources that `keys` displace. A key set to null displaces none."""
    displaced: set[str] = set()
    for key, others in DISPLACED_KEYS.items():
        if keys.get(key) is not None:
            displaced.update(others)
    return displaced - keys.keys()


def _extended_path(path: Path, name: str) -> Path:
    """The file that a YAML extends as `name`.

    A recipe that was copied out of the repository still finds its `../defaults/grpo.yaml`.
    """
    extended = path.parent / name
    shipped = DEFAULTS / extended.name
    if extended.parent.name == DEFAULTS.name and not extended.exists() and shipped.exists():
        return shipped
    return extended


def parse_list(key: str, value: Any, source: str) -> list[Any]:
    """The entries of a key that holds a list, which is YAML text on the command line.

    Raises `UserError` if it is not a list.
    """
    # On the command line a list is written as YAML.
    entries = parse_yaml(value, f"{source}: `{key}`").value if isinstance(value, str) else value
    if entries is not None and not isinstance(entries, list):
        raise UserError(f"{source}: `{key}` must be a list, got {entries!r}")
    return entries or []


def _put_over(base: YamlKeys, keys: YamlKeys) -> None:
    """Adds `keys` to `base`, over what is there; where both hold a mapping, its keys are merged."""
    for key in displaced_by(keys.values):
        base.remove(key)
    for key, value in keys.values.items():
        old = base.values.get(key)
        written = keys.written.get(key, value)
        if isinstance(value, dict) and isinstance(old, dict):
            value = old | value
            written = base.written.get(key, old) | written
        base.values[key] = value
        base.written[key] = written
        base.origins[key] = keys.origins[key]


def _read_file(path: Path) -> YamlKeys:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not valid YAML: {error}") from error
    document = parse_yaml(text, f"{path}:")
    # An empty file is None, and a file of text is a string.
    values = document.value
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold `key: value` lines, got {type(values).__name__}")
    values = {str(key): value for key, value in values.items()}
    return YamlKeys(values, document.written, dict.fromkeys(values, path))
