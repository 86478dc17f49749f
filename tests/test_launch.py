"""The launcher: what it would start, what it refuses, what it does with what it has started."""

import importlib.util
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recipes.core import launch, machine, vllm_server
from recipes.core.supervise import LOST, STOPPED, _exit_code
from tests.conftest import ROOT, run

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
CONFIGS = sorted(path.stem for path in ROOT.glob("accelerate_configs/*.yaml"))


def test_the_golden_commands_of_every_accelerate_config_on_one_and_on_four_machines():
    golden = (ROOT / "tests/golden/launch.txt").read_text().splitlines()
    asked_for = set()
    for asked, printed in zip(golden[::2], golden[1::2], strict=True):
        words = shlex.split(asked)[1:]
        done = run("bash", "launch.sh", *words[:2], "--dry-run", *words[2:])
        assert (done.stdout.strip(), done.returncode) == (printed, 0), done.stderr
        asked_for.add((words[words.index("--accelerate") + 1], "--nodes" in words))
    several = {(name, True) for name in CONFIGS if name not in ("cpu", "single_gpu")}  # those two are one process
    assert asked_for == {(name, False) for name in CONFIGS} | several


def test_the_golden_batch_script_for_slurm(tmp_path):
    words = ("--slurm", "--nodes", 4, "--accelerate", "zero3", "--num-processes", 8, "--partition", "gpu", "--time", "24:00:00")
    done = run("bash", "launch.sh", "grpo", "recipes/gsm8k/grpo.yaml", *words, "--dry-run", "--dataset_name", "my data.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(str(ROOT), "/repository") == (ROOT / "tests/golden/slurm.txt").read_text()
    (tmp_path / "job.sh").write_text(done.stdout)
    assert run("bash", "-n", tmp_path / "job.sh").returncode == 0


def test_no_accelerate_config_has_a_count_of_processes_or_what_the_recipe_says():
    for name in CONFIGS:
        text = (ROOT / f"accelerate_configs/{name}.yaml").read_text()
        assert [line.startswith("# ") for line in text.splitlines()[:3]] == [True, True, False]  # when to pick it
        for key in ("num_processes", "mixed_precision", "machine_rank"):
            assert key not in text
        if "DEEPSPEED" in text:
            assert "gradient_accumulation_steps: auto" in text and "gradient_clipping: auto" in text


SEVERAL = ["--accelerate", "ddp", "--num-processes", "2", "--nodes", "2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grop", GRPO], "there are: evaluate generate grpo sft"),
        (["grpo", "recipes/arithmetik/grpo.yaml"], "there are: recipes/arithmetic/grpo.yaml"),
        (["grpo", GRPO, "--accelerate", "zero9"], f"there are: {' '.join(CONFIGS)}"),
        (["grpo", GRPO, "--num-processes", "many"], "write a number or auto"),
        (["grpo", GRPO, "--accelerate", "cpu", "--num-processes", "2"], "cpu is one process"),
        (["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "1"], "needs two processes or more"),
        (["grpo", GRPO, "--accelerate", "ddp"], "there is no GPU to count; write --num-processes N"),
        (
            ["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "3", "--num_generations", "7"],
            "does not divide the batch",
        ),
        (["grpo", GRPO, *SEVERAL, "--num_generations", "96"], "x processes 4 x"),  # over all machines, not this one's
        (["grpo", GRPO, *SEVERAL], "write --nodes N --node-rank R --master HOST:PORT on each"),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "2", "--master", "a:1"], "2 machines have the ranks 0 to 1"),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "0", "--master", "a"], "write HOST:PORT"),
        (["grpo", GRPO, "--node-rank", "0"], "write --nodes, too"),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "1", "--master", "no.such.host.invalid:29500"], "does not know the host"),
        (["grpo", GRPO, "--nodes", "two"], "argument --nodes: invalid int value: 'two'"),
        (["generate", "recipes/arithmetic/generate.yaml", "--vllm", "server"], "`generate` takes `--teacher vllm`"),
        (["grpo", GRPO, "--vllm", "fast"], "argument --vllm: invalid choice"),
    ],
)
def test_the_launcher_refuses_what_it_cannot_start(words, message):
    done = run("bash", "launch.sh", *words)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is there")
def test_without_vllm_the_message_says_what_it_would_add():
    done = run("bash", "launch.sh", "grpo", GRPO, "--vllm", "server")
    assert done.returncode == 2 and "samples many times faster" in done.stderr and "leave --vllm out" in done.stderr


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(launch.machine, "visible_gpus", lambda: ["4", "5", "6", "7"])
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: True)

    def plan(*words):
        return launch.plan("grpo", "recipes/gsm8k/grpo.yaml", launch.parser().parse_args(words), [])

    return plan


def test_the_gpus_are_split_between_the_trainer_and_the_vllm_server(four_gpus):
    server, trainer = str(four_gpus("--accelerate", "ddp", "--vllm", "server", "--vllm-gpus", "2")).splitlines()
    assert server.startswith("CUDA_VISIBLE_DEVICES=6,7 trl vllm-serve --model Qwen/Qwen3-1.7B-Base --port 8000 ")
    assert server.endswith("--tensor_parallel_size 2 --revision main &")
    assert trainer.startswith("CUDA_VISIBLE_DEVICES=4,5 accelerate launch") and "--num_processes 2 " in trainer
    assert trainer.endswith("--use_vllm true --vllm_mode server --vllm_server_port 8000")
    assert str(four_gpus("--accelerate", "single_gpu")).startswith(
        "CUDA_VISIBLE_DEVICES=4 accelerate launch"
    )  # not all by DataParallel
    assert str(four_gpus("--accelerate", "zero3", "--vllm", "colocate")).endswith("--use_vllm true --vllm_mode colocate")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vllm", "server", "--vllm-gpus", "4", "--accelerate", "ddp"), "4 GPUs cannot be split"),
        (("--vllm", "server", "--accelerate", "cpu"), "cannot be split"),
        (("--vllm", "server", "--nodes", "2", "--accelerate", "ddp"), "start `trl vllm-serve` on one more"),
        (("--vllm", "server", "--accelerate", "ddp", "--num-processes", "4"), "is 4, but there are 3 GPUs for them"),
    ],
)
def test_gpus_that_cannot_be_split_are_refused(four_gpus, words, message):
    with pytest.raises(launch.UserError, match=message):
        four_gpus(*words)


def test_a_port_that_is_taken_is_refused_before_anything_is_started():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("bash", "launch.sh", "sft", SFT, *SEVERAL, "--node-rank", "0", "--master", f"127.0.0.1:{port}")
        assert done.returncode == 2 and "cannot listen there" in done.stderr
        with pytest.raises(vllm_server.UserError, match="something listens on port"):
            vllm_server.check_port(port)


def test_the_network_that_leads_to_another_machine_is_named_and_the_loopback_is_not():
    assert machine.interface("127.0.0.1") == {}
    addresses = {a.address: name for name, many in psutil.net_if_addrs().items() for a in many if a.family == socket.AF_INET}
    for address, name in addresses.items():
        if not address.startswith("127."):
            assert machine.interface(address) == {"GLOO_SOCKET_IFNAME": name}


def said(code):
    return {"code": code, "message": "because"}


@pytest.mark.parametrize(
    ("code", "sent", "words", "ends_with"),
    [
        (0, [], {}, 0),
        (0, [], {0: said(0)}, 0),
        (0, [signal.SIGTERM], {0: said(STOPPED), 1: said(STOPPED)}, STOPPED),  # torch's agent was content
        (1, [], {0: said(STOPPED), 1: said(STOPPED)}, STOPPED),  # the processes were sent SIGTERM, the launcher was not
        (1, [], {0: said(STOPPED)}, LOST),  # one was killed, and torch's agent told the other to stop
        (1, [signal.SIGTERM], {0: said(1), 1: said(LOST)}, STOPPED),  # told to stop, and failed as others went: goes on from before
        (1, [], {0: said(LOST), 1: said(2)}, 2),  # the cause, not what came of it
        (1, [], {0: said(LOST), 1: said(1)}, LOST),
        (1, [signal.SIGINT], {}, 130),
        (-15, [signal.SIGTERM], {}, STOPPED),  # before anything was begun
        (1, [], {}, LOST),
    ],
)
def test_the_exit_code_says_why_it_ended_and_not_only_that(code, sent, words, ends_with):
    assert _exit_code(code, sent, words, 2) == ends_with


def start(*words: object, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["bash", "launch.sh", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(file: Path, process: subprocess.Popen, seconds: float = 120) -> None:
    deadline = time.time() + seconds
    while not file.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert file.exists() and process.poll() is None, process.communicate(timeout=60)[0][-3000:]


def test_sigterm_to_every_process_at_once_as_slurm_sends_it_saves_too(tmp_path):
    keys = ("--output_dir", tmp_path, "--max_steps", 500, "--per_device_train_batch_size", 256, "--num_generations", 8)
    process = start("grpo", GRPO, "--accelerate", "cpu", *keys)
    wait_for(tmp_path / "rollouts/train.jsonl", process)
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.send_signal(signal.SIGTERM)  # accelerate, which would wait for its process, ends at once
    said = process.communicate(timeout=90)[0]
    assert process.returncode == STOPPED and "is saved; the same command goes on" in said, said[-3000:]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_the_launcher_and_sigterm_saves_first(tmp_path, how):
    keys = ("--output_dir", tmp_path, "--max_steps", 500, "--per_device_train_batch_size", 8, "--num_generations", 8)
    process = start("grpo", GRPO, "--accelerate", "ddp", "--num-processes", 2, *keys)
    wait_for(tmp_path / "rollouts/train.jsonl", process)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 3  # accelerate and two processes, whatever judges the answers
    process.send_signal(how)
    said = process.communicate(timeout=90)[0]
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []
    (checkpoint,) = (tmp_path / "policy").glob("checkpoint-*")  # they save when their parent dies, too
    assert (checkpoint / "sealed.json").exists()
    if how == signal.SIGTERM:
        assert process.returncode == STOPPED and f"{checkpoint} is saved" in said and "Traceback" not in said
        step = int(checkpoint.name.partition("-")[2])
        done = run("bash", "launch.sh", "grpo", GRPO, "--accelerate", "ddp", "--num-processes", 2, *keys, "--max_steps", step + 1)
        assert done.returncode == 0 and f"going on from {checkpoint}" in done.stderr


def test_a_config_that_accelerate_starts_as_one_process_is_refused_with_the_reason(tmp_path):
    (tmp_path / "multi_cpu.yaml").write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nuse_cpu: true\n")
    command = ("accelerate", "launch", "--config_file", tmp_path / "multi_cpu.yaml", "--num_processes", 2)
    done = run(*command, "recipes/sft.py", "--config", SFT)
    assert done.returncode != 0
    assert "error: accelerate was asked for several processes and started one" in done.stderr


SERVER = """
import http.server, sys, time
print("loading the model", flush=True)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/" else 404)
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", SERVER, does, str(port)], stdout=log, stderr=log)
    try:
        if message := COMES[does]:
            with pytest.raises(vllm_server.UserError, match=f"(?s){message}"):
                vllm_server.wait_until_healthy(process, port, tmp_path / "log.txt", lambda: False, seconds=3)
        else:
            vllm_server.wait_until_healthy(process, port, tmp_path / "log.txt", lambda: False, seconds=30)
    finally:
        process.kill()
        process.wait()
