"""The arguments of ./launch.sh as a typed record."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from recipes.core.errors import UserError
from recipes.core.paths import ROOT, find_path

VLLM_MODES = ("server", "colocate", "off")


@dataclass(frozen=True)
class LaunchRequest:
    """Everything on the command line of ./launch.sh; its help explains each option.

    Attributes:
        config: the path of the YAML.
        keys: the stage's own arguments, `--key value ...`.
        num_processes: a number, or "auto".
    """

    stage: str
    config: str
    keys: list[str]
    accelerate: str | None
    num_processes: str
    nodes: int
    node_rank: int | None
    master: str | None
    slurm: bool
    partition: str | None
    time: str | None
    vllm: str | None
    vllm_gpus: int
    dry_run: bool


def parse_request(arguments: list[str]) -> LaunchRequest:
    """Parses the command line of ./launch.sh. Raises `UserError` for an invalid option."""
    if len(arguments) < 2:
        raise UserError("usage: ./launch.sh STAGE CONFIG [options]; see --help")
    stage, config = arguments[0], str(find_path(arguments[1]))
    options, keys = _build_parser().parse_known_args(arguments[2:])
    if "--" in keys:  # argparse keeps the separator
        keys.remove("--")
    return LaunchRequest(stage, config, keys, **vars(options))


def check_files(request: LaunchRequest) -> None:
    """Raises `UserError` if the stage or its YAML does not exist."""
    # Every stage has a file of defaults.
    stages = sorted(path.stem for path in (ROOT / "recipes/defaults").glob("*.yaml"))
    if request.stage not in stages:
        raise UserError(f"unknown stage {request.stage!r}; there are: {' '.join(stages)}")
    # Suggest the recipes that have this stage.
    if not Path(request.config).is_file():
        paths = ROOT.glob(f"recipes/*/{request.stage}.yaml")
        configs = sorted(path.relative_to(ROOT).as_posix() for path in paths)
        raise UserError(f"no such config {request.config!r}; there are: {' '.join(configs)}")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)

    # argparse would print its usage and exit.
    def error(message: str) -> NoReturn:
        raise UserError(message)

    parser.error = error  # type: ignore[method-assign]
    # Processes and machines.
    parser.add_argument("--accelerate")
    parser.add_argument("--num-processes", default="auto")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--node-rank", type=int)
    parser.add_argument("--master")
    # Slurm.
    parser.add_argument("--slurm", action="store_true")
    parser.add_argument("--partition")
    parser.add_argument("--time")
    # vLLM.
    parser.add_argument("--vllm", choices=VLLM_MODES)
    parser.add_argument("--vllm-gpus", type=int, default=1)

    parser.add_argument("--dry-run", action="store_true")
    return parser
