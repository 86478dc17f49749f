"""vLLM sampling for `grpo`: what it needs, and the server that `./launch.sh grpo ... --vllm server` starts beside the trainer.

TRL's GRPOTrainer sends that server, TRL's `trl vllm-serve`, the weights after each step and asks it for completions, many times
faster than transformers' `generate`. It needs GPUs of its own.
"""

import http.client
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trl import ScriptArguments

from recipes.core.config.config import Config
from recipes.core.errors import UserError

HOST = "127.0.0.1"  # whoever reaches the server can set its weights


@dataclass(frozen=True)
class Server:
    command: list[str]
    environment: dict[str, str]
    port: int
    group_port: int  # where it meets the trainer to take the weights
    timeout: float  # seconds until it must answer


@dataclass
class ServerArguments(ScriptArguments):
    """TRL's keys of the trainer that the server shares."""

    model_name_or_path: str | None = None
    model_revision: str | None = None
    vllm_server_port: int = 8000
    vllm_group_port: int = 51216
    vllm_server_timeout: float = (
        600.0  # TRL's 240 is for a server that is up soon; this one downloads and compiles first
    )
    vllm_max_model_length: int | None = None


def check_machine(nodes: int, gpus: int, own: int) -> None:
    """Raises `UserError` if the server cannot have `own` of this machine's GPUs."""
    if nodes > 1:
        raise UserError(
            "--vllm server is for one machine; for several start `trl vllm-serve` on one more and write --use_vllm true "
            "--vllm_mode server --vllm_server_host HOST"
        )
    if not 0 < own < gpus:
        raise UserError(
            f"--vllm server: {gpus} GPUs cannot be split between the trainer and a server with {own}; both need one at least. "
            "Write --vllm-gpus, or --vllm colocate to share them"
        )


def build_server(config: Config, devices: list[str]) -> Server:
    """The server for the model of a recipe, on these GPUs."""
    args = config.parse(ServerArguments)
    command = [
        "trl",
        "vllm-serve",
        "--model",
        str(args.model_name_or_path),
        "--host",
        HOST,
        "--port",
        str(args.vllm_server_port),
    ]
    command += ["--tensor_parallel_size", str(len(devices))]
    for option, value in (
        ("--revision", args.model_revision),
        ("--max_model_len", args.vllm_max_model_length),
    ):
        command += [option, str(value)] if value else []
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(devices)}
    return Server(
        command, environment, args.vllm_server_port, args.vllm_group_port, args.vllm_server_timeout
    )


def trainer_keys(mode: str, server: Server | None) -> list[str]:
    """The trainer's keys for `--vllm mode`."""
    if mode == "off":
        return ["--use_vllm", "false"]
    where = ["--vllm_server_host", HOST, "--vllm_server_port", str(server.port)] if server else []
    return ["--use_vllm", "true", "--vllm_mode", mode, *where]


def past_proxies() -> dict[str, str]:
    """The trainer's variable to reach the server directly where there are HTTP proxies."""
    if not urllib.request.getproxies():
        return {}
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    return {"no_proxy": f"{before},{HOST}" if before else HOST}


def check_ports(server: Server) -> None:
    """Raises `UserError` if another program listens there, such as the server of another run."""
    for key, port in (("vllm_server_port", server.port), ("vllm_group_port", server.group_port)):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((HOST, port)) == 0:
                raise UserError(
                    f"{key}: something listens on port {port} already; write another one"
                )


def wait_until_healthy(
    process: "subprocess.Popen[bytes]", server: Server, log: Path, stop: Callable[[], bool]
) -> None:
    """Returns once the server answers, or `stop` says so. Raises `UserError` with the last lines of its log if it ends, or does not
    answer in time."""
    deadline = time.monotonic() + server.timeout
    while process.poll() is None and not stop():
        try:
            health = http.client.HTTPConnection(
                HOST, server.port, timeout=5
            )  # by no proxy, whatever the environment says
            health.request("GET", "/health")
            if health.getresponse().status == 200:
                return
        except (http.client.HTTPException, OSError):  # not listening yet
            pass
        if time.monotonic() > deadline:
            raise UserError(
                f"the vLLM server did not answer within {server.timeout:.0f} s (vllm_server_timeout); its last lines:\n{last_lines(log)}"
            )
        time.sleep(0.5)
    if not stop():
        raise UserError(describe_exit(process, log))


def describe_exit(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """What is to be said of a server that has ended before its time."""
    return f"the vLLM server ended with exit code {process.returncode}; its last lines:\n{last_lines(log)}"


def last_lines(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
