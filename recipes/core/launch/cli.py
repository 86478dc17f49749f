"""./launch.sh STAGE CONFIG [options] [[--] --key value ...]

Checks what can be known before anything is started, prints the exact command of a stage, and runs it.

  STAGE            grpo, generate, sft or evaluate
  CONFIG           the stage's YAML, such as recipes/arithmetic/grpo.yaml
  --key value      any key of the stage, over the YAML's; after `--` nothing is taken as an option below
  --accelerate     a file of accelerate_configs/, without .yaml (default: single_gpu with a GPU, else cpu)
  --num-processes  processes on each machine; auto (the default) is one per GPU, with cpu_ddp one per core, else one
  --nodes N --node-rank R --master HOST:PORT
                   several machines: the same command on each of them with its own rank, from 0; HOST is the machine of rank 0
  --slurm          writes a batch script that starts one launcher on each of --nodes machines, and submits it; needs --accelerate
                   and --num-processes, by which the job asks for GPUs and cores
  --partition P, --time T
                   of the Slurm job; other options of sbatch are read from its variables, such as SBATCH_ACCOUNT
  --vllm           grpo: server starts `trl vllm-serve` on GPUs of its own, colocate shares the trainer's, off samples with
                   transformers; without the option the recipe's keys decide
  --vllm-gpus K    how many of this machine's GPUs, the last ones, are the server's (default: 1)
  --dry-run        print, and stop

It ends with 0; 2 for what you can mend; 75 if it was stopped by SIGTERM (or pre-empted) and what is saved can be gone on from with
the same command; 70 if a process died or hung; 130 after Ctrl-C; else 1. What it has started ends with it.
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from recipes.core.errors import UserError
from recipes.core.launch.command import build_command
from recipes.core.launch.host import check_master, gloo_interface
from recipes.core.launch.slurm import submit_job
from recipes.core.launch.supervisor import supervise
from recipes.core.paths import ROOT

VLLM_MODES = ("server", "colocate", "off")


def main() -> None:
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}")
        sys.exit(0 if words else 2)
    try:
        sys.exit(launch(words))
    except UserError as error:
        sys.stderr.write(f"launch.sh: {error}\n")
        sys.exit(2)


def launch(words: list[str]) -> int:
    """Does what `./launch.sh` does with these words; returns its exit code. Raises `UserError` for what cannot be started."""
    if len(words) < 2:
        raise UserError("write ./launch.sh STAGE CONFIG; --help says more")
    stage, config = words[:2]
    options, keys = build_parser().parse_known_args(words[2:])
    if "--" in keys:  # argparse leaves it in
        keys.remove("--")
    check_files(stage, config)
    if options.slurm:
        return submit_job(stage, config, options, keys)
    planned = build_command(stage, config, options, keys)
    sys.stdout.write(f"{planned}\n")
    sys.stdout.flush()
    if options.dry_run:
        return 0
    environment = planned.environment
    if options.nodes > 1:
        host, address = check_master(options.master, options.node_rank)
        environment = environment | gloo_interface(host, address)
    return supervise(planned.command, environment, planned.server, planned.processes)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)

    def error(message: str) -> NoReturn:
        raise UserError(message)

    parser.error = error  # type: ignore[method-assign]
    parser.add_argument("--accelerate")
    parser.add_argument("--num-processes", default="auto")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--node-rank", type=int)
    parser.add_argument("--master")
    parser.add_argument("--slurm", action="store_true")
    parser.add_argument("--partition")
    parser.add_argument("--time")
    parser.add_argument("--vllm", choices=VLLM_MODES)
    parser.add_argument("--vllm-gpus", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true")
    return parser


def check_files(stage: str, config: str) -> None:
    """Raises `UserError` if there is no such stage or YAML."""
    stages = sorted(path.stem for path in (ROOT / "recipes/defaults").glob("*.yaml"))
    if stage not in stages:
        raise UserError(f"there is no stage {stage!r}; there are: {' '.join(stages)}")
    if not Path(config).is_file():
        there = sorted(
            path.relative_to(ROOT).as_posix() for path in ROOT.glob(f"recipes/*/{stage}.yaml")
        )
        raise UserError(f"there is no config {config!r}; there are: {' '.join(there)}")


if __name__ == "__main__":
    main()
