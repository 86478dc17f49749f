"""The launcher's supervision of real processes: they save when stopped, and none is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recipes.core.runtime.stopping import LOST, STOPPED
from tests.support.commands import ROOT, free_port, run

GRPO = "recipes/arithmetic/grpo.yaml"
SFT = "recipes/arithmetic/sft.yaml"
TWO_PROCESSES = ("--accelerate", "ddp", "--num-processes", 2)


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "launch.sh", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(file: Path, process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.time() + seconds
    while not file.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert file.exists() and process.poll() is None, process.communicate(timeout=60)[0][-3000:]


def grpo_keys(folder: Path, batch_size: int) -> list[object]:
    """More steps than any test waits for."""
    batch = ["--per_device_train_batch_size", batch_size, "--num_generations", 8]
    return ["--output_dir", folder, "--max_steps", 500, *batch]


def test_sigterm_to_every_process_at_once_as_slurm_sends_it_still_saves(tmp_path):
    process = start("grpo", GRPO, "--accelerate", "cpu", *grpo_keys(tmp_path, 256))
    wait_for(tmp_path / "rollouts/train.jsonl", process)
    launcher = psutil.Process(process.pid)
    # accelerate exits at once instead of waiting for its process.
    for one in [*launcher.children(recursive=True), launcher]:
        one.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=90)[0]
    assert process.returncode == STOPPED, output[-3000:]
    assert "is saved" in output
    assert f"launch.sh: stopped; run the same command again to resume ({STOPPED})" in output


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_the_launcher_and_sigterm_saves_first(tmp_path, kind):
    keys = grpo_keys(tmp_path, 8)
    process = start("grpo", GRPO, *TWO_PROCESSES, *keys)
    wait_for(tmp_path / "rollouts/train.jsonl", process)
    descendants = psutil.Process(process.pid).children(recursive=True)
    assert len(descendants) >= 3  # accelerate, two processes, and the workers of the rewards

    process.send_signal(kind)
    output = process.communicate(timeout=90)[0]
    _, alive = psutil.wait_procs(descendants, timeout=60)
    assert alive == []
    # Processes whose parent was killed save as well.
    (checkpoint,) = (tmp_path / "policy").glob("checkpoint-*")
    assert (checkpoint / "sealed.json").exists()

    if kind == signal.SIGTERM:
        assert process.returncode == STOPPED
        assert f"{checkpoint} is saved" in output and "Traceback" not in output
        one_step_more = int(checkpoint.name.partition("-")[2]) + 1
        command = ("bash", "launch.sh", "grpo", GRPO, *TWO_PROCESSES, *keys)
        done = run(*command, "--max_steps", one_step_more)
        assert done.returncode == 0 and f"resuming from {checkpoint}" in done.stderr


# A server in vLLM's place: it dies at the first request that is not about its health.
SERVER = """
import http.server, os, signal, sys, time
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # or ending it takes ten seconds
print("loading the model", flush=True)
if sys.argv[2] == "hangs":
    time.sleep(600)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health":
            os._exit(9)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""

# A program in the trainer's place.
TRAINER = """
import sys, urllib.request
print("the trainer has started", flush=True)
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}{sys.argv[2]}")
"""

SUPERVISE = """
import sys
from recipes.core.launch.command import Launch
from recipes.core.launch.supervisor import supervise
from recipes.core.launch.vllm_server import Server

server, trainer, port, behaviour, request = sys.argv[1:]
command = [sys.executable, "-c", server, port, behaviour]
vllm = Server(command, {}, port=int(port), group_port=1, timeout=60)
sys.exit(supervise(Launch([sys.executable, "-c", trainer, port, request], 1, {}, vllm)))
"""


def supervise(behaviour: str, request: str) -> subprocess.Popen[str]:
    port = str(free_port())
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, SERVER, TRAINER, port, behaviour, request],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_server_ends_once_the_trainer_is_done():
    process = supervise("answers", "/health")
    assert process.communicate(timeout=60)[0] == "the trainer has started\n"
    assert process.returncode == 0


def test_a_server_that_dies_ends_the_run_with_its_last_lines():
    process = supervise("answers", "/die")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == LOST
    assert "launch.sh: the vLLM server exited with code 9; its last lines:\nloading" in output


def test_sigterm_while_the_server_starts_ends_it_before_the_trainer_starts():
    process = supervise("hangs", "/health")
    launcher = psutil.Process(process.pid)
    while not launcher.children():
        time.sleep(0.05)
    time.sleep(0.5)
    descendants = launcher.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == STOPPED
    assert "run the same command again" in output and "the trainer" not in output
    assert psutil.wait_procs(descendants, timeout=10)[1] == []


def test_a_config_that_accelerate_starts_as_one_process_is_refused_with_the_reason(tmp_path):
    (tmp_path / "multi_cpu.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nuse_cpu: true\n"
    )
    command = ("accelerate", "launch", "--config_file", tmp_path / "multi_cpu.yaml")
    done = run(*command, "--num_processes", 2, "recipes/sft.py", "--config", SFT)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: accelerate ")]
    assert len(errors) == 1 and "distributed_type: MULTI_CPU" in errors[0], done.stderr
