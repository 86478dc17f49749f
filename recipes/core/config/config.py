"""How a stage is told what to do: command line over YAML over defaults, every key known or refused.

    python recipes/grpo.py --config recipes/arithmetic/grpo.yaml --learning_rate 1e-4

A YAML holds flat keys with TRL's names. `extends: ../defaults/grpo.yaml` reads another file first (one level). What can
be known to be wrong is said before torch is imported, in one line.
"""

import argparse
import ast
import os
import sys
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from trl.scripts.utils import TrlParser

from recipes.core.config.keys import check_key, is_secret, training_keys
from recipes.core.config.stage import RunArguments
from recipes.core.config.yaml_files import read_yaml, recipe_name
from recipes.core.errors import UserError
from recipes.core.paths import ROOT
from recipes.core.runtime.device import has_accelerator, sharding


@dataclass(frozen=True)
class Config:
    """One stage's configuration, keys checked, values not yet typed.

    Attributes:
        source: what messages call it: the YAML's path, or "the command line".
        values: the keys of the YAML and of the file it extends.
        arguments: the command line without `--config` and `--print-config`.
        recipe: name of the recipe's folder.
    """

    source: str
    values: dict[str, Any]
    arguments: list[str]
    recipe: str
    print_config: bool = False

    def parse(self, *dataclasses: type, **overrides: Any) -> Any:
        """Instances of `dataclasses`, one or a tuple; each takes the keys it has. `overrides` win over everything.

        Raises `UserError` if a value has the wrong type.
        """
        parser = TrlParser(dataclasses, allow_abbrev=False)  # type: ignore[arg-type]

        def error(message: str) -> None:
            raise UserError(f"{self.source}: {message}")

        parser.error = error  # type: ignore[method-assign,assignment]
        # argparse converts a default only if it is a string, and YAML reads 1e-6 as one but 2.5 as a number: as strings, all
        # numbers are checked against the type of their key.
        values = {
            k: str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v
            for k, v in self.values.items()
        }
        parser.set_defaults_with_config(**values)
        try:
            namespace, _ = parser.parse_known_args(self.arguments)
        except argparse.ArgumentTypeError as message:
            raise UserError(f"{self.source}: {message}") from message
        parsed = []
        for cls in dataclasses:
            names = {f.name for f in fields(cls) if f.init}
            taken = {key: value for key, value in vars(namespace).items() if key in names}
            try:
                parsed.append(cls(**taken | {k: v for k, v in overrides.items() if k in names}))
            except (
                ValueError,
                TypeError,
            ) as problem:  # TRL and transformers check combinations in __post_init__
                raise UserError(f"{self.source}: {' '.join(str(problem).split())}") from problem
        return parsed[0] if len(parsed) == 1 else tuple(parsed)

    def parse_training(self, cls: type, **overrides: Any) -> Any:
        """TRL's training arguments. Without an accelerator they are for the CPU, which transformers wants to be told, and in
        float32: most CPUs multiply bfloat16 a hundred times slower."""
        if not has_accelerator():
            # accelerate takes `use_cpu` to mean "without DeepSpeed"; naming the backend does as well.
            cpu = {"bf16": False} | (
                {"ddp_backend": "gloo"} if sharding() == "DEEPSPEED" else {"use_cpu": True}
            )
            overrides |= {key: value for key, value in cpu.items() if not self.given(key)}
        args = self.parse(cls, **overrides)
        if (
            getattr(args, "n_gpu", 1) > 1
        ):  # one process is for one GPU; transformers would take all that it sees, by DataParallel
            args._n_gpu = 1
        if sharding() == "FSDP" and not has_accelerator():
            from accelerate.utils import DistributedType

            # accelerate shards with FSDP on a CPU as well, but only what it takes for GPUs; the device stays the CPU.
            args.distributed_state.distributed_type = DistributedType.MULTI_GPU
        return args

    def output_dir(self, stage: RunArguments) -> Path:
        """The run's folder: `output_dir` if given, else outputs/<recipe>."""
        return Path(stage.output_dir or Path("outputs") / self.recipe)

    def given(self, key: str) -> bool:
        """Whether the YAML or the command line sets `key`."""
        return key in self.values or key in self.command_line_keys()

    def command_line_keys(self) -> list[str]:
        """The keys that the command line sets."""
        return [key for key in map(_key_of_option, self.arguments) if key]

    def resolve(self, *instances: Any) -> dict[str, Any]:
        """Every key that the YAML or the command line sets, with its typed value. Secrets are left out."""
        resolved: dict[str, Any] = {}
        for instance in instances:
            for f in fields(instance):
                if self.given(f.name) and not is_secret(f.name):
                    value = getattr(instance, f.name)
                    resolved[f.name] = value.value if isinstance(value, Enum) else value
        return dict(sorted(resolved.items()))

    def print_and_exit(self, *instances: Any) -> None:
        """What `--print-config` does; nothing without it."""
        if self.print_config:
            sys.stdout.write(
                yaml.safe_dump(self.resolve(*instances), sort_keys=False, allow_unicode=True)
            )
            sys.exit(0)


def load_config(
    stage: str,
    *dataclasses: type,
    training_arguments: str | None = None,
    argv: list[str] | None = None,
) -> Config:
    """Reads `--config` and the command line of a stage and checks every key.

    Args:
        stage: name of the script, for `--help`.
        dataclasses: what the stage's keys are, besides `training_arguments`.
        training_arguments: "GRPOConfig" or "SFTConfig" where the stage takes TRL's arguments too.
    """
    config = read_config(stage, training_arguments=training_arguments, argv=argv)
    known = known_keys(*dataclasses, training_arguments=training_arguments)
    for key in config.values:
        check_key(key, known, config.source)
    for key in config.command_line_keys():
        check_key(key, known, "the command line")
    return config


def known_keys(*dataclasses: type, training_arguments: str | None = None) -> set[str]:
    """The keys of `dataclasses` and of TRL's class of that name."""
    known = {f.name for cls in dataclasses for f in fields(cls)}
    return known | training_keys(training_arguments) if training_arguments else known


def read_config(
    stage: str, training_arguments: str | None = None, argv: list[str] | None = None
) -> Config:
    """What `load` reads, its keys not yet checked."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "-h" in arguments or "--help" in arguments:
        _print_help(stage, training_arguments)
    print_config = "--print-config" in arguments or "--print_config" in arguments
    arguments = [word for word in arguments if word not in ("--print-config", "--print_config")]
    path = _take_config_option(arguments)
    values = read_yaml(path) if path else {}
    source = str(path) if path else "the command line"
    if arguments and not arguments[0].startswith("--"):
        raise UserError(f"the command line: {arguments[0]!r} belongs to no key; write --key value")
    # TRL's own scripts take environment variables in the YAML.
    for key, value in (values.pop("env", None) or {}).items():
        os.environ[key] = str(value)
    return Config(source, values, arguments, recipe_name(path) if path else "run", print_config)


def _take_config_option(arguments: list[str]) -> Path | None:
    for index, word in enumerate(arguments):
        if word.startswith("--config="):
            del arguments[index]
            return Path(word.removeprefix("--config="))
        if word == "--config":
            if index + 1 == len(arguments):
                raise UserError(
                    "the command line: --config needs the path of a YAML, such as recipes/arithmetic/grpo.yaml"
                )
            path = Path(arguments[index + 1])
            del arguments[index : index + 2]
            return path
    return None


def _key_of_option(word: str) -> str | None:
    return word[2:].split("=")[0].replace("-", "_") if word.startswith("--") else None


def _print_help(stage: str, training_arguments: str | None) -> None:
    script, defaults = (
        ROOT / "recipes" / f"{stage}.py",
        ROOT / "recipes" / "defaults" / f"{stage}.yaml",
    )
    sys.stdout.write(
        (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "") + "\n\n"
    )
    sys.stdout.write("Keys, as `key: value` in the YAML or `--key value`, with their defaults:\n\n")
    sys.stdout.write(defaults.read_text(encoding="utf-8"))
    if training_arguments:
        sys.stdout.write(f"\nand every key of trl.{training_arguments} and trl.ModelConfig.\n")
    sys.exit(0)
