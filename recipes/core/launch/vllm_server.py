"""The vLLM server that `./launch.sh grpo ... --vllm server` starts beside the trainer.

After each step TRL's GRPOTrainer sends the new weights to TRL's `trl vllm-serve`, and samples its
completions there, many times faster than with transformers' `generate`. The server needs GPUs of
its own.
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

HOST = "127.0.0.1"  # anyone who can reach the server can replace its weights


@dataclass(frozen=True)
class Server:
    """How to start a vLLM server.

    Attributes:
        command: its command line.
        environment: variables to add to the current ones.
        port: where it answers requests.
        group_port: where the trainer sends it the weights.
        timeout: seconds until it has to answer.
    """

    command: list[str]
    environment: dict[str, str]
    port: int
    group_port: int
    timeout: float


@dataclass
class ServerArguments(ScriptArguments):
    """The trainer's keys, named by TRL, that the server needs as well."""

    model_name_or_path: str | None = None
    model_revision: str | None = None
    vllm_server_port: int = 8000
    vllm_group_port: int = 51216
    # TRL's 240 assumes a running server; this one has to download and compile the model first.
    vllm_server_timeout: float = 600.0
    vllm_max_model_length: int | None = None


def check_gpu_split(nodes: int, gpus: int, server_gpus: int) -> None:
    """Raises `UserError` if the server cannot take `server_gpus` of this machine's GPUs."""
    if nodes > 1:
        raise UserError(
            "--vllm server is for one machine; with several, start `trl vllm-serve` on one more "
            "and write --use_vllm true --vllm_mode server --vllm_server_host HOST"
        )
    # Neither side can do with no GPU.
    if not 0 < server_gpus < gpus:
        raise UserError(
            f"--vllm server: {gpus} GPUs cannot be split between the trainer and a server with "
            f"{server_gpus}; both need at least one. "
            "Change --vllm-gpus, or share the GPUs with --vllm colocate"
        )


def build_server(config: Config, gpus: list[str]) -> Server:
    """The server of a recipe's model on these GPUs."""
    # One server over all of its GPUs.
    args = config.parse(ServerArguments)
    command = ["trl", "vllm-serve", "--model", str(args.model_name_or_path)]
    command += ["--host", HOST, "--port", str(args.vllm_server_port)]
    command += ["--tensor_parallel_size", str(len(gpus))]
    # Optional settings.
    if args.model_revision:
        command += ["--revision", args.model_revision]
    if args.vllm_max_model_length:
        command += ["--max_model_len", str(args.vllm_max_model_length)]
    return Server(
        command,
        environment={"CUDA_VISIBLE_DEVICES": ",".join(gpus)},
        port=args.vllm_server_port,
        group_port=args.vllm_group_port,
        timeout=args.vllm_server_timeout,
    )


def trainer_keys(mode: str, server: Server | None) -> list[str]:
    """The trainer's keys for `--vllm MODE`."""
    # Written last on the trainer's command line, so they win over the recipe.
    if mode == "off":
        return ["--use_vllm", "false"]
    keys = ["--use_vllm", "true", "--vllm_mode", mode]
    if server:
        keys += ["--vllm_server_host", HOST, "--vllm_server_port", str(server.port)]
    return keys


def past_proxies() -> dict[str, str]:
    """The variable by which the trainer reaches the server directly, not through an HTTP proxy."""
    if not urllib.request.getproxies():
        return {}
    # Exceptions that the user has set stay.
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    return {"no_proxy": f"{exceptions},{HOST}" if exceptions else HOST}


def check_ports(server: Server) -> None:
    """Raises `UserError` if one of the server's ports is in use, perhaps by another run."""
    for key, port in (("vllm_server_port", server.port), ("vllm_group_port", server.group_port)):
        # A port that accepts a connection belongs to somebody.
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((HOST, port)) == 0:
                raise UserError(f"{key}: port {port} is already in use; choose another one")


def wait_until_healthy(
    process: subprocess.Popen[bytes], server: Server, log: Path, stop: Callable[[], bool]
) -> None:
    """Returns once the server answers, or `stop()` is true.

    Raises `UserError` with the last lines of its log if the server exits, or does not answer in
    time.
    """
    deadline = time.monotonic() + server.timeout
    # Three ends: it answers, it exits, or the time is over.
    while process.poll() is None and not stop():
        if _is_healthy(server.port):
            return
        if time.monotonic() > deadline:
            raise UserError(
                f"the vLLM server did not answer within {server.timeout:.0f} s "
                f"(vllm_server_timeout); its last lines:\n{last_lines(log)}"
            )
        time.sleep(0.5)
    # The server has exited, unless the wait was stopped.
    if not stop():
        raise UserError(describe_exit(process, log))


def _is_healthy(port: int) -> bool:
    # http.client connects directly, whatever proxy the environment names.
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (http.client.HTTPException, OSError):  # not listening yet
        return False


def describe_exit(process: subprocess.Popen[bytes], log: Path) -> str:
    """The message about a server that has exited too early."""
    return (
        f"the vLLM server exited with code {process.returncode}; its last lines:\n{last_lines(log)}"
    )


def last_lines(log: Path, lines: int = 15) -> str:
    """The end of a log file."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])
