"""The vLLM server that `./launch.sh grpo ... --vllm server` starts beside the trainer: TRL's `trl vllm-serve`.

TRL's GRPOTrainer sends it the weights after each step and asks it for completions, many times faster than transformers'
`generate`. It needs GPUs of its own.
"""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trl import ScriptArguments

from recipes.core.config import Config
from recipes.core.keys import UserError


@dataclass(frozen=True)
class Server:
    command: list[str]
    environment: dict[str, str]
    port: int


@dataclass
class ServerArguments(ScriptArguments):
    """TRL's keys of the trainer that the server must share, with TRL's defaults."""

    model_name_or_path: str | None = None
    model_revision: str | None = None
    vllm_server_port: int = 8000
    vllm_server_timeout: float = 240.0
    vllm_gpu_memory_utilization: float = 0.9
    vllm_max_model_length: int | None = None


def plan(config: Config, devices: list[str]) -> Server:
    """The server for the model of a recipe, on these GPUs."""
    args = config.parse(ServerArguments)
    command = ["trl", "vllm-serve", "--model", str(args.model_name_or_path), "--port", str(args.vllm_server_port)]
    command += ["--tensor_parallel_size", str(len(devices))]
    for option, value in (("--revision", args.model_revision), ("--max_model_len", args.vllm_max_model_length)):
        command += [option, str(value)] if value else []
    return Server(command, {"CUDA_VISIBLE_DEVICES": ",".join(devices)}, args.vllm_server_port)


def trainer_keys(mode: str, server: Server | None) -> list[str]:
    """The trainer's keys for `--vllm mode`."""
    if mode == "off":
        return ["--use_vllm", "false"]
    return ["--use_vllm", "true", "--vllm_mode", mode] + (["--vllm_server_port", str(server.port)] if server else [])


def check_port(port: int) -> None:
    """Raises `UserError` if another program listens there: the trainer would take it for its server."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"vllm_server_port: something listens on port {port} already; write another one")


def wait_until_healthy(
    process: "subprocess.Popen[bytes]", port: int, log: Path, stop: Callable[[], bool], seconds: float = 600.0
) -> None:
    """Returns once the server answers, or `stop` says so. Raises `UserError` with the last lines of its log if it ends, or does not
    answer within `seconds`."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and not stop():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):  # not listening yet
            pass
        if time.monotonic() > deadline:
            raise UserError(f"the vLLM server did not answer within {seconds:.0f} s; its last lines ({log}):\n{tail(log)}")
        time.sleep(0.5)
    if stop():
        return
    raise UserError(f"the vLLM server ended with exit code {process.returncode}; its last lines ({log}):\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
