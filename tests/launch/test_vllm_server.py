"""vLLM as what samples for `grpo`: what is planned and refused, how a server is waited for. The real one: tests/launch/test_vllm.py."""

import importlib.util
import subprocess
import sys

import pytest

from recipes.core.errors import UserError
from recipes.core.launch import command
from recipes.core.launch.cli import build_parser
from recipes.core.launch.command import build_command
from recipes.core.launch.vllm_server import Server, past_proxies, wait_until_healthy
from tests.support.commands import free_port, run, stage

GRPO = "recipes/arithmetic/grpo.yaml"


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is there")
def test_without_vllm_the_message_says_what_it_would_add():
    done = run("bash", "launch.sh", "grpo", GRPO, "--vllm", "server")
    assert (
        done.returncode == 2
        and "samples many times faster" in done.stderr
        and done.stderr.count("\n") == 1
    )
    done = stage("grpo", GRPO, "--use_vllm")
    assert done.returncode == 2 and "error: use_vllm: the package vllm is not there" in done.stderr


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(command, "visible_gpus", lambda: ["4", "5", "6", "7"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)

    def plan(*words):
        return build_command(
            "grpo", "recipes/gsm8k/grpo.yaml", *build_parser().parse_known_args(words)
        )

    return plan


def test_the_gpus_are_split_between_the_trainer_and_the_vllm_server(four_gpus):
    server, trainer = str(
        four_gpus("--accelerate", "ddp", "--vllm", "server", "--vllm-gpus", "2")
    ).splitlines()
    assert server.startswith(
        "CUDA_VISIBLE_DEVICES=6,7 trl vllm-serve --model Qwen/Qwen3-1.7B-Base --host 127.0.0.1 --port 8000 "
    )
    assert server.endswith("--tensor_parallel_size 2 --revision main &")
    assert (
        trainer.startswith("CUDA_VISIBLE_DEVICES=4,5 accelerate launch")
        and "--num_processes 2 " in trainer
    )
    assert trainer.endswith(
        "--use_vllm true --vllm_mode server --vllm_server_host 127.0.0.1 --vllm_server_port 8000"
    )
    assert str(four_gpus("--accelerate", "single_gpu")).startswith(
        "CUDA_VISIBLE_DEVICES=4 accelerate launch"
    )  # not all by DataParallel
    assert str(four_gpus("--accelerate", "zero3", "--vllm", "colocate")).endswith(
        "--use_vllm true --vllm_mode colocate"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vllm", "server", "--vllm-gpus", "4", "--accelerate", "ddp"), "4 GPUs cannot be split"),
        (("--vllm", "server", "--accelerate", "cpu"), "cannot be split"),
        (
            ("--vllm", "server", "--nodes", "2", "--accelerate", "ddp"),
            "start `trl vllm-serve` on one more",
        ),
        (
            ("--vllm", "server", "--accelerate", "ddp", "--num-processes", "4"),
            "is 4, but there are 3 GPUs for them",
        ),
        (
            ("--vllm", "server", "--accelerate", "ddp", "--load_in_4bit"),
            "cannot take the weights of a model in 4 or 8 bits",
        ),
        (("--vllm", "colocate", "--load_in_8bit"), "leave out load_in_4bit and load_in_8bit"),
    ],
)
def test_what_vllm_cannot_do_is_refused_before_anything_is_started(four_gpus, words, message):
    with pytest.raises(UserError, match=message):
        four_gpus(*words)


def test_the_trainer_reaches_the_server_past_a_proxy(monkeypatch):
    for name in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    assert past_proxies() == {}
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert past_proxies() == {"no_proxy": "127.0.0.1"}
    monkeypatch.setenv("NO_PROXY", ".cluster")
    assert past_proxies() == {"no_proxy": ".cluster,127.0.0.1"}


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


COMES = {
    "answers": None,
    "fails": "ended with exit code 1.*loading the model.*out of memory: 3 GiB",
    "hangs": "did not answer.*loading the model",
}


@pytest.mark.parametrize("does", COMES)
def test_a_server_is_waited_for_and_its_last_lines_are_shown_if_it_does_not_come(tmp_path, does):
    server = Server([], {}, free_port(), 1, 30 if does == "answers" else 3)
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, does, str(server.port)], stdout=log, stderr=log
        )
    try:
        if message := COMES[does]:
            with pytest.raises(UserError, match=f"(?s){message}"):
                wait_until_healthy(process, server, tmp_path / "log.txt", lambda: False)
        else:
            wait_until_healthy(process, server, tmp_path / "log.txt", lambda: False)
    finally:
        process.kill()
        process.wait()
