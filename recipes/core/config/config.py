"""Reads the configuration of a stage: the command line over the YAML over the files it extends.

    python recipes/grpo.py --config recipes/arithmetic/grpo.yaml --learning_rate 1e-4

A YAML holds flat keys with TRL's names. Every key must be known to the stage; a mistake is reported
in one line before torch is imported.
"""

import ast
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from recipes.core.config.command_line import (
    PRINT_CONFIG,
    keys_of_options,
    rename_option,
    take_config_option,
)
from recipes.core.config.keys import ALIASES, check_keys, is_secret
from recipes.core.config.parsing import parse_arguments
from recipes.core.config.stage import RunArguments, StageSpec
from recipes.core.config.yaml_files import YamlKeys, displaced_by, read_keys, recipe_name
from recipes.core.errors import UserError
from recipes.core.paths import DEFAULTS, ROOT, find_path, find_paths
from recipes.core.runtime.device import has_accelerator, sharding

COMMAND_LINE = "the command line"

Arguments = TypeVar("Arguments")


@dataclass(frozen=True)
class Config:
    """The configuration of one run of a stage, its keys checked, its values typed by `parse`.

    Attributes:
        source: how messages refer to it: the path of the YAML, or "the command line".
        keys: those of the YAML and of the files it extends.
        arguments: the command line without `--config` and `--print-config`.
        recipe: name of the recipe's folder.
        stage: the stage that is run; `None` where a launcher only reads a few keys.
        started: `time.time()` when the configuration was read.
    """

    source: str
    keys: YamlKeys
    arguments: list[str]
    recipe: str
    print_config: bool = False
    stage: StageSpec | None = None
    started: float = field(default_factory=time.time)
    _parsed: dict[type, Any] = field(default_factory=dict)

    def parse(self, cls: type[Arguments]) -> Arguments:
        """The instance of the dataclass `cls` that holds its keys; the same one at every call.

        Raises `UserError` if a value has the wrong type or values contradict each other.
        """
        # One instance per class: what is completed later is seen everywhere.
        if cls not in self._parsed:
            self._parsed[cls] = self._parse(cls)
        return self._parsed[cls]

    def parse_training(self, **overrides: Any) -> Any:
        """The stage's training arguments, an instance of TRL's class.

        They save to the run's folder; `overrides` win over everything that the user set.
        """
        import trl

        assert self.stage and self.stage.trl_config
        cls = getattr(trl, self.stage.trl_config)
        output_dir = {"output_dir": str(self.run_dir / self.stage.artifact)}
        # Later values win: the machine's settings over our folder, the stage's over both.
        args = self._parse(cls, **output_dir | self._cpu_settings() | overrides)
        _use_one_device(args)
        self._parsed[cls] = args
        return args

    @property
    def run_dir(self) -> Path:
        """Folder of the run: `output_dir`, or outputs/<recipe>; a control run has its own."""
        folder = Path(self.parse(RunArguments).output_dir or Path("outputs") / self.recipe)
        control = self.parse(ControlArguments).control
        return folder / f"control_{control}" if control else folder

    def is_set(self, key: str) -> bool:
        """Whether the YAML, a file that it extends, or the command line sets `key`."""
        return key in self.keys.values or key in self.command_line_keys()

    def is_written(self, key: str) -> bool:
        """Whether the user sets `key`: more than its line in recipes/defaults."""
        if key in self.command_line_keys():
            return True
        origin = self.keys.origins.get(key)
        return origin is not None and origin.resolve().parent != DEFAULTS.resolve()

    def command_line_keys(self) -> list[str]:
        """The keys that the command line sets."""
        return keys_of_options(self.arguments)

    def resolve(self, *classes: type) -> dict[str, Any]:
        """Typed values of the keys that were set and belong to `classes`; by default to all parsed.

        Secrets are left out.
        """
        # A key that several classes share has one value; the class parsed last wins.
        resolved: dict[str, Any] = {}
        for cls in classes or tuple(self._parsed):
            for name, value in vars(self.parse(cls)).items():
                if self.is_set(name) and not is_secret(name):
                    resolved[name] = value.value if isinstance(value, Enum) else value
        return dict(sorted(resolved.items()))

    def print_and_exit(self) -> None:
        """Prints the resolved configuration if `--print-config` asks for it, and ends the stage."""
        if not self.print_config:
            return
        assert self.stage
        # All keys of ours, and TRL's if the stage trains.
        classes = list(self.stage.arguments)
        if self.stage.trl_config:
            classes.append(type(self.parse_training()))
        text = yaml.safe_dump(self.resolve(*classes), sort_keys=False, allow_unicode=True)
        sys.stdout.write(text)
        sys.exit(0)

    def _parse(self, cls: type[Arguments], **overrides: Any) -> Arguments:
        return parse_arguments(cls, self.keys, self.arguments, overrides, self._source_of)

    def _source_of(self, key: str | None) -> str:
        """The file that sets `key`, or the command line; for `None` the name of the whole."""
        if key in self.command_line_keys():
            return COMMAND_LINE
        return str(self.keys.origins.get(key or "", self.source))

    def _cpu_settings(self) -> dict[str, Any]:
        """Training arguments that transformers needs on a machine without an accelerator.

        float32 is the default there: most CPUs multiply bfloat16 a hundred times slower.
        """
        if has_accelerator():
            return {}
        settings: dict[str, Any] = {"bf16": False}
        if sharding() == "DEEPSPEED":  # accelerate takes `use_cpu` to mean "without DeepSpeed"
            settings["ddp_backend"] = "gloo"
        else:
            settings["use_cpu"] = True
        return {key: value for key, value in settings.items() if not self.is_set(key)}


@dataclass
class ControlArguments:
    """The key of `grpo` that gives a run a folder of its own; see config/rewards.py."""

    control: str | None = None


def load_config(stage: StageSpec, argv: list[str] | None = None) -> Config:
    """Reads `--config` and the command line of a stage, and checks that every key is known.

    Prints the help text and exits if `--help` is among the arguments.
    """
    config = read_config(stage.name, argv, stage)
    known = stage.known_keys()
    # The files and the command line, each with its own name in messages; all mistakes at once.
    sources: dict[str, dict[str, Any]] = {}
    for key, value in config.keys.values.items():
        sources.setdefault(str(config.keys.origins[key]), {})[key] = value
    sources[COMMAND_LINE] = dict.fromkeys(config.command_line_keys(), True)
    check_keys(sources, known)
    # What is left are keys of the stage, some under another name.
    for alias, key in ALIASES.items():
        config.keys.rename(alias, key)
        rename_option(config.arguments, alias, key)
    return config


def read_config(name: str, argv: list[str] | None = None, stage: StageSpec | None = None) -> Config:
    """Reads the configuration of the stage called `name` without checking its keys.

    `argv` is the command line, by default that of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "-h" in arguments or "--help" in arguments:
        _print_help(name)

    # Options of ours; what is left are pairs of --key value.
    print_config = any(word in PRINT_CONFIG for word in arguments)
    arguments = [word for word in arguments if word not in PRINT_CONFIG]
    path = take_config_option(arguments)
    if arguments and not arguments[0].startswith("--"):
        raise UserError(
            f"the command line: {arguments[0]!r} does not follow a key; write --key value"
        )
    if path is None:
        return Config(COMMAND_LINE, YamlKeys(), arguments, "run", print_config, stage)

    path = find_path(path)
    keys = read_keys(path)
    keys.values = find_paths(keys.values)
    keys.written = find_paths(keys.written)
    _export_environment(keys.written.get("env") or {})
    keys.remove("env")
    # Like any more specific source, the command line displaces what contradicts it.
    for key in displaced_by(dict.fromkeys(keys_of_options(arguments), True)):
        keys.remove(key)
    return Config(str(path), keys, arguments, recipe_name(path), print_config, stage)


def _export_environment(variables: dict[str, Any]) -> None:
    """Sets the variables of a YAML's `env` mapping, a feature of TRL's own scripts."""
    for name, value in variables.items():
        os.environ[name] = str(value)


def _use_one_device(args: Any) -> None:
    """Keeps transformers from choosing devices by itself."""
    # One process trains on one GPU; transformers would use all visible ones with DataParallel.
    if args.n_gpu > 1:
        args._n_gpu = 1

    # accelerate shards with FSDP on a CPU too, but only under the type it has for GPUs.
    if sharding() == "FSDP" and not has_accelerator():
        from accelerate.utils import DistributedType

        args.distributed_state.distributed_type = DistributedType.MULTI_GPU


def _print_help(name: str) -> None:
    """Prints the docstring of a stage's script and its documented defaults, and exits."""
    # Both are read as text: importing the stage would take seconds.
    script = ast.parse((ROOT / "recipes" / f"{name}.py").read_text(encoding="utf-8"))
    defaults = (DEFAULTS / f"{name}.yaml").read_text(encoding="utf-8")
    parts: Iterable[str] = (
        ast.get_docstring(script) or "",
        "Keys, as `key: value` in the YAML or `--key value`, with their defaults:",
        defaults,
    )
    sys.stdout.write("\n\n".join(parts))
    sys.exit(0)
