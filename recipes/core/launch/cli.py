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
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from trl import ModelConfig

from recipes.core.config import config as configuration
from recipes.core.config.config import ROOT
from recipes.core.config.keys import UserError
from recipes.core.launch import host as machine
from recipes.core.launch import slurm, vllm_server
from recipes.core.launch import supervisor as supervise
from recipes.core.launch.host import ON_CPU, SINGLE
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.runtime.device import has_accelerator

VLLM = ("server", "colocate", "off")


@dataclass
class SeveralGPUs:
    """The key of `generate` by which one process has several GPUs."""

    vllm_tensor_parallel_size: int = 1


@dataclass(frozen=True)
class Launch:
    """What is started on this machine.

    Attributes:
        command: accelerate's.
        processes: how many it starts here.
        environment: variables that it needs beside those that are there.
        server: the vLLM server's command and its variables, or `None`.
    """

    command: list[str]
    processes: int
    environment: dict[str, str]
    server: vllm_server.Server | None

    def __str__(self) -> str:
        lines = [f"{shown(self.server.command, self.server.environment)} &"] if self.server else []
        return "\n".join([*lines, shown(self.command, self.environment)])


def shown(command: list[str], environment: dict[str, str]) -> str:
    """The command as a shell would take it."""
    return shlex.join([f"{name}={value}" for name, value in environment.items()] + command)


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
    options, keys = parser().parse_known_args(words[2:])
    if "--" in keys:  # argparse leaves it in
        keys.remove("--")
    check_files(stage, config)
    if options.slurm:
        return slurm.submit(stage, config, options, keys)
    planned = plan(stage, config, options, keys)
    sys.stdout.write(f"{planned}\n")
    sys.stdout.flush()
    if options.dry_run:
        return 0
    environment = planned.environment
    if options.nodes > 1:
        host, address = machine.check_master(options.master, options.node_rank)
        environment = environment | machine.interface(host, address)
    return supervise.run(planned.command, environment, planned.server, planned.processes)


def parser() -> argparse.ArgumentParser:
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
    parser.add_argument("--vllm", choices=VLLM)
    parser.add_argument("--vllm-gpus", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true")
    return parser


def check_files(stage: str, config: str) -> None:
    """Raises `UserError` if there is no such stage or YAML."""
    stages = sorted(path.stem for path in (ROOT / "recipes/defaults").glob("*.yaml"))
    if stage not in stages:
        raise UserError(f"there is no stage {stage!r}; there are: {' '.join(stages)}")
    if not Path(config).is_file():
        there = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(f"recipes/*/{stage}.yaml"))
        raise UserError(f"there is no config {config!r}; there are: {' '.join(there)}")


def plan(stage: str, config: str, options: argparse.Namespace, keys: list[str]) -> Launch:
    """What is to be started, if it can be. Raises `UserError`."""
    devices = machine.visible_gpus()
    accelerate = options.accelerate or ("single_gpu" if devices else "cpu")
    there = sorted(path.stem for path in (ROOT / "accelerate_configs").glob("*.yaml"))
    if accelerate not in there:
        raise UserError(f"there is no accelerate config {accelerate!r}; there are: {' '.join(there)}")
    values = configuration.read(stage, argv=["--config", config, *keys])
    environment = {"ACCELERATE_USE_CPU": "true"} if accelerate == "cpu_ddp" else {}
    server = None
    if options.vllm:
        if stage != "grpo":
            raise UserError("--vllm is for grpo; `generate` takes `--teacher vllm`")
        if options.vllm != "off":
            vllm_server.check_keys(f"--vllm {options.vllm}", values.parse(ModelConfig))
        if options.vllm == "server":
            vllm_server.check_machine(options.nodes, 0 if accelerate in ON_CPU else len(devices), options.vllm_gpus)
            devices, own = devices[: -options.vllm_gpus], devices[-options.vllm_gpus :]
            server = vllm_server.plan(values, own)
            environment |= {"CUDA_VISIBLE_DEVICES": ",".join(devices)} | vllm_server.past_proxies()
        keys = [*keys, *vllm_server.trainer_keys(options.vllm, server)]

    if accelerate == "single_gpu" and len(devices) > 1:  # transformers would take them all, by DataParallel
        several = values.parse(SeveralGPUs).vllm_tensor_parallel_size if stage == "generate" else 1
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices[:several])
    processes = count_processes(options.num_processes, accelerate, len(devices))
    total = processes * options.nodes
    if accelerate in SINGLE and total > 1:
        raise UserError(
            f"--accelerate {accelerate} is one process; for {total} take cpu_ddp on a CPU, and ddp, zero2, zero3 or fsdp2 elsewhere"
        )
    if accelerate not in ON_CPU and devices and stage in ("grpo", "sft"):
        machine.check_compiler()
    if accelerate in ("ddp", "cpu_ddp", "fsdp2") and total < 2:
        raise UserError(f"--accelerate {accelerate} needs two processes or more; write --num-processes 2, or --accelerate cpu")
    if stage == "grpo":
        check_batch(values.parse(BatchArguments), total)

    command = ["accelerate", "launch", "--quiet", "--config_file", f"accelerate_configs/{accelerate}.yaml"]
    command += ["--num_processes", str(total), *placing(options, total)]
    return Launch([*command, f"recipes/{stage}.py", "--config", config, *keys], processes, environment, server)


def placing(options: argparse.Namespace, processes: int) -> list[str]:
    """accelerate's options that say which machine this is, and where the processes meet."""
    given = options.node_rank is not None or options.master is not None
    if options.nodes == 1:
        if given:
            raise UserError("--node-rank and --master are for several machines; write --nodes, too")
        return ["--main_process_port", "0"] if processes > 1 else []  # 0: any free port
    if options.nodes < 1 or options.node_rank is None or options.master is None:
        raise UserError("several machines: write --nodes N --node-rank R --master HOST:PORT on each, or --slurm")
    if not 0 <= options.node_rank < options.nodes:
        raise UserError(f"--node-rank is {options.node_rank}; {options.nodes} machines have the ranks 0 to {options.nodes - 1}")
    host, _, port = options.master.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"--master is {options.master!r}; write HOST:PORT, the machine of rank 0 and a free port there")
    where = ["--main_process_ip", host, "--main_process_port", port]
    return ["--num_machines", str(options.nodes), "--machine_rank", str(options.node_rank), *where]


def count_processes(asked: str, accelerate: str, gpus: int) -> int:
    """Processes on this machine."""
    if asked != "auto":
        if not asked.isdigit() or int(asked) < 1:
            raise UserError(f"--num-processes is {asked!r}; write a number or auto")
        if gpus and accelerate not in ON_CPU and int(asked) > gpus:
            raise UserError(f"--num-processes is {asked}, but there are {gpus} GPUs for them")
        return int(asked)
    if accelerate == "cpu" or (accelerate == "single_gpu" and (gpus or has_accelerator())):
        return 1
    if accelerate == "cpu_ddp":
        return os.cpu_count() or 1
    if not gpus:
        raise UserError(f"--accelerate {accelerate}: there is no GPU to count; write --num-processes N to run it on the CPU")
    return gpus


if __name__ == "__main__":
    main()
