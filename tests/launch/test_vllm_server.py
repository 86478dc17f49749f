"""vLLM for `grpo`: the commands, the refusals, and the wait for the server.

The real vLLM is tested in tests/launch/test_vllm.py.
"""

import importlib.util
import socket
import subprocess
import sys

import pytest

from recipes.core.errors import UserError
from recipes.core.launch import command
from recipes.core.launch.cli import launch
from recipes.core.launch.command import build_command
from recipes.core.launch.request import parse_request
from recipes.core.launch.vllm_server import Server, check_ports, past_proxies, wait_until_healthy
from tests.support.commands import free_port, stage

GRPO = "recipes/arithmetic/grpo.yaml"
DDP_WITH_SERVER = ("--accelerate", "ddp", "--vllm", "server")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
def test_without_vllm_the_message_tells_what_it_would_add():
    with pytest.raises(UserError, match=r"--vllm server: .* samples many times faster"):
        launch(["grpo", GRPO, "--vllm", "server"])
    done = stage("grpo", GRPO, "--use_vllm")
    assert done.returncode == 2
    assert "error: use_vllm: the package vllm is not installed" in done.stderr


@pytest.fixture
def plan_on_four_gpus(monkeypatch):
    """Builds the command of gsm8k's GRPO on a machine with vLLM and four GPUs."""
    monkeypatch.setattr(command, "visible_gpus", lambda: ["4", "5", "6", "7"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("CC", "gcc")

    def plan(*options):
        return build_command(parse_request(["grpo", "recipes/gsm8k/grpo.yaml", *options]))

    return plan


def test_the_server_takes_the_last_gpus_and_the_trainer_the_others(plan_on_four_gpus):
    printed = str(plan_on_four_gpus(*DDP_WITH_SERVER, "--vllm-gpus", "2"))
    server, trainer = printed.splitlines()
    assert server == (
        "CUDA_VISIBLE_DEVICES=6,7 trl vllm-serve --model Qwen/Qwen3-1.7B-Base --host 127.0.0.1 "
        "--port 8000 --tensor_parallel_size 2 --revision main &"
    )
    assert trainer.startswith("CUDA_VISIBLE_DEVICES=4,5 accelerate launch")
    assert "--num_processes 2 " in trainer
    assert trainer.endswith(
        "--use_vllm true --vllm_mode server --vllm_server_host 127.0.0.1 --vllm_server_port 8000"
    )


def test_without_a_server_the_trainer_keeps_every_gpu_that_it_uses(plan_on_four_gpus):
    single = str(plan_on_four_gpus("--accelerate", "single_gpu"))
    assert single.startswith("CUDA_VISIBLE_DEVICES=4 accelerate launch")  # no DataParallel
    colocated = str(plan_on_four_gpus("--accelerate", "zero3", "--vllm", "colocate"))
    assert colocated.startswith("accelerate launch")
    assert colocated.endswith("--use_vllm true --vllm_mode colocate")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*DDP_WITH_SERVER, "--vllm-gpus", "4"), "4 GPUs cannot be split"),
        (("--vllm", "server", "--accelerate", "cpu"), "0 GPUs cannot be split"),
        ((*DDP_WITH_SERVER, "--nodes", "2"), "start `trl vllm-serve` on one more"),
        ((*DDP_WITH_SERVER, "--num-processes", "4"), "is 4, but there are only 3 GPUs"),
        ((*DDP_WITH_SERVER, "--load_in_4bit"), "cannot send the weights of a model in 4 or 8 bits"),
        (("--vllm", "colocate", "--load_in_8bit"), "leave out load_in_4bit and load_in_8bit"),
    ],
)
def test_a_setup_that_vllm_cannot_run_is_refused(plan_on_four_gpus, options, message):
    with pytest.raises(UserError, match=message):
        plan_on_four_gpus(*options)


def test_the_trainer_reaches_the_server_past_a_proxy(monkeypatch):
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    assert past_proxies() == {}
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert past_proxies() == {"no_proxy": "127.0.0.1"}
    monkeypatch.setenv("NO_PROXY", ".cluster")
    assert past_proxies() == {"no_proxy": ".cluster,127.0.0.1"}


def test_a_port_of_the_server_that_is_in_use_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"vllm_server_port: port {port} is already in use"):
            check_ports(Server([], {}, port=port, group_port=1, timeout=1))
        with pytest.raises(UserError, match=f"vllm_group_port: port {port} is already in use"):
            check_ports(Server([], {}, port=1, group_port=port, timeout=1))


SERVER = """
import http.server, sys, time
print("loading the model", flush=True)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
if sys.argv[1] == "fails":
    sys.exit("out of memory: 3 GiB")
time.sleep(1 if sys.argv[1] == "answers" else 60)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Health).serve_forever()
"""


@pytest.fixture
def wait_for_server(tmp_path):
    """Starts a server that answers, fails or hangs, and waits for it."""
    processes = []

    def wait(behaviour, timeout):
        server = Server([], {}, port=free_port(), group_port=1, timeout=timeout)
        log = tmp_path / "log.txt"
        command = [sys.executable, "-c", SERVER, behaviour, str(server.port)]
        with log.open("wb") as output:
            processes.append(subprocess.Popen(command, stdout=output, stderr=output))
        wait_until_healthy(processes[0], server, log, lambda: False)

    yield wait
    for process in processes:
        process.kill()
        process.wait()


def test_the_wait_ends_once_the_server_answers(wait_for_server):
    wait_for_server("answers", timeout=30)


@pytest.mark.parametrize(
    ("behaviour", "timeout", "message"),
    [
        ("fails", 30, "exited with code 1.*loading the model.*out of memory: 3 GiB"),
        ("hangs", 2, "did not answer within 2 s.*loading the model"),
    ],
)
def test_a_server_that_does_not_start_ends_the_wait_with_its_last_lines(
    wait_for_server, behaviour, timeout, message
):
    with pytest.raises(UserError, match=f"(?s){message}"):
        wait_for_server(behaviour, timeout)
