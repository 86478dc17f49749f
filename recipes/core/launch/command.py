"""Builds the `accelerate launch` command of a stage."""

import argparse
import os
import shlex
from dataclasses import dataclass

from trl import ModelConfig

from recipes.core.config.config import read_config
from recipes.core.errors import UserError
from recipes.core.launch.host import (
    CPU_CONFIGS,
    SINGLE_PROCESS_CONFIGS,
    check_compiler,
    visible_gpus,
)
from recipes.core.launch.vllm_server import (
    Server,
    build_server,
    check_machine,
    past_proxies,
    trainer_keys,
)
from recipes.core.paths import ROOT
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.preflight.vllm import check_vllm
from recipes.core.runtime.device import has_accelerator


@dataclass
class TensorParallelArguments:
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
    server: Server | None

    def __str__(self) -> str:
        lines = (
            [f"{format_command(self.server.command, self.server.environment)} &"]
            if self.server
            else []
        )
        return "\n".join([*lines, format_command(self.command, self.environment)])


def format_command(command: list[str], environment: dict[str, str]) -> str:
    """The command as a shell would take it."""
    return shlex.join([f"{name}={value}" for name, value in environment.items()] + command)


def build_command(stage: str, config: str, options: argparse.Namespace, keys: list[str]) -> Launch:
    """What is to be started, if it can be. Raises `UserError`."""
    devices = visible_gpus()
    accelerate = options.accelerate or ("single_gpu" if devices else "cpu")
    there = sorted(path.stem for path in (ROOT / "accelerate_configs").glob("*.yaml"))
    if accelerate not in there:
        raise UserError(
            f"there is no accelerate config {accelerate!r}; there are: {' '.join(there)}"
        )
    values = read_config(stage, argv=["--config", config, *keys])
    environment = {"ACCELERATE_USE_CPU": "true"} if accelerate == "cpu_ddp" else {}
    server = None
    if options.vllm:
        if stage != "grpo":
            raise UserError("--vllm is for grpo; `generate` takes `--teacher vllm`")
        if options.vllm != "off":
            check_vllm(f"--vllm {options.vllm}", values.parse(ModelConfig))
        if options.vllm == "server":
            check_machine(
                options.nodes, 0 if accelerate in CPU_CONFIGS else len(devices), options.vllm_gpus
            )
            devices, own = devices[: -options.vllm_gpus], devices[-options.vllm_gpus :]
            server = build_server(values, own)
            environment |= {"CUDA_VISIBLE_DEVICES": ",".join(devices)} | past_proxies()
        keys = [*keys, *trainer_keys(options.vllm, server)]

    if (
        accelerate == "single_gpu" and len(devices) > 1
    ):  # transformers would take them all, by DataParallel
        several = (
            values.parse(TensorParallelArguments).vllm_tensor_parallel_size
            if stage == "generate"
            else 1
        )
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices[:several])
    processes = count_processes(options.num_processes, accelerate, len(devices))
    total = processes * options.nodes
    if accelerate in SINGLE_PROCESS_CONFIGS and total > 1:
        raise UserError(
            f"--accelerate {accelerate} is one process; for {total} take cpu_ddp on a CPU, and ddp, zero2, zero3 or fsdp2 elsewhere"
        )
    if accelerate not in CPU_CONFIGS and devices and stage in ("grpo", "sft"):
        check_compiler()
    if accelerate in ("ddp", "cpu_ddp", "fsdp2") and total < 2:
        raise UserError(
            f"--accelerate {accelerate} needs two processes or more; write --num-processes 2, or --accelerate cpu"
        )
    if stage == "grpo":
        check_batch(values.parse(BatchArguments), total)

    command = [
        "accelerate",
        "launch",
        "--quiet",
        "--config_file",
        f"accelerate_configs/{accelerate}.yaml",
    ]
    command += ["--num_processes", str(total), *rendezvous_options(options, total)]
    return Launch(
        [*command, f"recipes/{stage}.py", "--config", config, *keys], processes, environment, server
    )


def rendezvous_options(options: argparse.Namespace, processes: int) -> list[str]:
    """accelerate's options that say which machine this is, and where the processes meet."""
    given = options.node_rank is not None or options.master is not None
    if options.nodes == 1:
        if given:
            raise UserError("--node-rank and --master are for several machines; write --nodes, too")
        return ["--main_process_port", "0"] if processes > 1 else []  # 0: any free port
    if options.nodes < 1 or options.node_rank is None or options.master is None:
        raise UserError(
            "several machines: write --nodes N --node-rank R --master HOST:PORT on each, or --slurm"
        )
    if not 0 <= options.node_rank < options.nodes:
        raise UserError(
            f"--node-rank is {options.node_rank}; {options.nodes} machines have the ranks 0 to {options.nodes - 1}"
        )
    host, _, port = options.master.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(
            f"--master is {options.master!r}; write HOST:PORT, the machine of rank 0 and a free port there"
        )
    where = ["--main_process_ip", host, "--main_process_port", port]
    return ["--num_machines", str(options.nodes), "--machine_rank", str(options.node_rank), *where]


def count_processes(asked: str, accelerate: str, gpus: int) -> int:
    """Processes on this machine."""
    if asked != "auto":
        if not asked.isdigit() or int(asked) < 1:
            raise UserError(f"--num-processes is {asked!r}; write a number or auto")
        if gpus and accelerate not in CPU_CONFIGS and int(asked) > gpus:
            raise UserError(f"--num-processes is {asked}, but there are {gpus} GPUs for them")
        return int(asked)
    if accelerate == "cpu" or (accelerate == "single_gpu" and (gpus or has_accelerator())):
        return 1
    if accelerate == "cpu_ddp":
        return os.cpu_count() or 1
    if not gpus:
        raise UserError(
            f"--accelerate {accelerate}: there is no GPU to count; write --num-processes N to run it on the CPU"
        )
    return gpus
