"""Builds the `accelerate launch` command of a stage, and refuses one that could not run."""

import shlex
from dataclasses import dataclass

from trl import ModelConfig

from recipes.core.config.config import Config, read_config
from recipes.core.errors import UserError
from recipes.core.launch.accelerate_configs import Spec, check_accelerate_config, get_spec
from recipes.core.launch.host import check_compiler, cpu_cores, visible_gpus
from recipes.core.launch.processes import (
    check_total_processes,
    count_processes,
    rendezvous_options,
)
from recipes.core.launch.request import LaunchRequest
from recipes.core.launch.vllm_server import (
    Server,
    build_server,
    check_gpu_split,
    past_proxies,
    trainer_keys,
)
from recipes.core.paths import ROOT, path_from_here
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.preflight.vllm import check_vllm


@dataclass
class TensorParallelArguments:
    """The key of `generate` that gives several GPUs to one process."""

    vllm_tensor_parallel_size: int = 1


@dataclass(frozen=True)
class Launch:
    """The processes to start on this machine.

    Attributes:
        command: accelerate's command line.
        processes: how many processes it starts on this machine.
        environment: variables to add to the current ones.
        server: the vLLM server to start first, or `None`.
        threads: of each process, unless OMP_NUM_THREADS sets them; 0 leaves them to accelerate.
    """

    command: list[str]
    processes: int
    environment: dict[str, str]
    server: Server | None
    threads: int = 0

    def __str__(self) -> str:
        lines = []
        if self.server:
            lines.append(f"{format_command(self.server.command, self.server.environment)} &")
        lines.append(format_command(self.command, self.environment))
        return "\n".join(lines)


def format_command(command: list[str], environment: dict[str, str]) -> str:
    """The command as one line for a shell."""
    return shlex.join([f"{name}={value}" for name, value in environment.items()] + command)


def build_command(request: LaunchRequest) -> Launch:
    """The command of a stage on this machine. Raises `UserError` if it could not run."""
    # The accelerate config decides the device; the YAML's keys are checked before anything else.
    gpus = visible_gpus()
    accelerate = request.accelerate or ("single_gpu" if gpus else "cpu")
    check_accelerate_config(accelerate)
    spec = get_spec(accelerate)
    config = read_config(request.stage, argv=["--config", request.config, *request.keys])
    environment = dict(spec.environment)
    keys = list(request.keys)

    # vLLM: a server takes the last GPUs, the trainer keeps the others and learns its address.
    server = None
    if request.vllm:
        _check_vllm_option(request, config, spec, len(gpus))
        if request.vllm == "server":
            server = build_server(config, gpus[-request.vllm_gpus :])
            gpus = gpus[: -request.vllm_gpus]
            environment |= {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} | past_proxies()
        keys += trainer_keys(request.vllm, server)

    # One process sees only the GPUs it uses: transformers would wrap it in DataParallel over all.
    if accelerate == "single_gpu" and len(gpus) > 1:
        used = gpus[: _gpus_of_one_process(request.stage, config)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(used)

    # The number of processes must suit the accelerate config, and the batch must hold whole groups.
    processes = count_processes(request.num_processes, accelerate, len(gpus))
    total = processes * request.nodes
    check_total_processes(accelerate, total)
    if gpus and spec.device == "gpu" and request.stage in ("grpo", "sft"):
        check_compiler()
    if request.stage == "grpo":
        check_batch(config.parse(BatchArguments), total)

    # The keys come last, so that they override the YAML.
    command = ["accelerate", "launch", "--quiet"]
    command += ["--config_file", path_from_here(ROOT / f"accelerate_configs/{accelerate}.yaml")]
    command += ["--num_processes", str(total), *rendezvous_options(request, total)]
    script = path_from_here(ROOT / f"recipes/{request.stage}.py")
    command += [script, "--config", request.config, *keys]
    # accelerate would choose the same number of threads, and print three lines about it.
    threads = cpu_cores() if accelerate == "cpu" else 0
    return Launch(command, processes, environment, server, threads)


def _check_vllm_option(request: LaunchRequest, config: Config, spec: Spec, gpus: int) -> None:
    """Raises `UserError` if `--vllm` cannot be followed."""
    if request.stage != "grpo":
        raise UserError("--vllm is for grpo; `generate` takes `--teacher vllm`")
    if request.vllm != "off":
        check_vllm(f"--vllm {request.vllm}", config.parse(ModelConfig))
    if request.vllm == "server":
        usable = gpus if spec.device == "gpu" else 0
        check_gpu_split(request.nodes, usable, request.vllm_gpus)


def _gpus_of_one_process(stage: str, config: Config) -> int:
    if stage != "generate":
        return 1
    size: int = config.parse(TensorParallelArguments).vllm_tensor_parallel_size
    return size
