"""Several processes on one machine, by every accelerate config: they train as one, save, go on, and leave a model that loads."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from recipes.core import jsonl
from tests.conftest import ok, run

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
CONFIGS = ("ddp", "zero2", "zero3", "fsdp2")
KEYS = {
    "grpo": (GRPO, "--per_device_train_batch_size", 8, "--num_generations", 8, "--gradient_accumulation_steps", 2),
    "sft": (SFT, "--per_device_train_batch_size", 8, "--gradient_accumulation_steps", 2, "--lr_scheduler_type", "constant"),
}
# In `make test`; the others of the matrix have the mark `slow`.
USUAL = {
    ("ddp", "sft", "full"),
    ("zero2", "grpo", "full"),
    ("zero3", "grpo", "lora"),
    ("fsdp2", "grpo", "lora"),
    ("fsdp2", "sft", "full"),
}
MATRIX = [
    pytest.param(*case, marks=[] if case in USUAL else pytest.mark.slow, id="-".join(case))
    for case in [(config, stage, kind) for config in CONFIGS for stage in KEYS for kind in ("lora", "full")]
]


@pytest.fixture(scope="module")
def traces(tmp_path_factory) -> Path:
    """Traces of the kind that `generate` leaves, as many as a few steps need; every length differs from its neighbour's."""
    file = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    rows = []
    for a in range(10, 80):
        for b in (3, 7):
            steps = f"{a}*{b}={a * b}" if a % 3 else f"{a}*{b}={a * b};{a * b}+5={a * b + 5}"
            text = f"<think>{steps}</think><answer>{a * b + 5}</answer>"
            rows.append({"prompt": [{"role": "user", "content": f"{a}*{b}+5"}], "completion": text})
    jsonl.append(file, rows)
    return file


def launch(stage, accelerate, processes, out, traces, *keys):
    extra = ("--traces", traces) if stage == "sft" else ()
    config, *rest = KEYS[stage]
    words = ("--accelerate", accelerate, "--num-processes", processes, "--output_dir", out, *rest, *extra, *keys)
    return ok(run("bash", "launch.sh", stage, config, *words))


def weights(folder: Path) -> dict:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def largest_difference(one: dict, other: dict) -> float:
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize(("accelerate", "stage", "kind"), MATRIX)
def test_two_processes_train_save_go_on_and_leave_a_model_that_loads(tmp_path, traces, accelerate, stage, kind):
    from trl import ModelConfig

    from recipes.core.models import load_model

    peft = ("--use_peft", "true", "--lora_target_modules", "all-linear") if kind == "lora" else ("--use_peft", "false")
    keys = (*peft, "--max_steps", 3, "--save_steps", 2, "--save_total_limit", 3, "--learning_rate", 1e-3)
    done = launch(stage, accelerate, 2, tmp_path, traces, *keys)
    sharding = {"ddp": "MULTI_CPU", "fsdp2": "FSDP"}.get(accelerate, "DEEPSPEED")
    assert f"2 processes, {sharding}, backend gloo: rank 0 on" in done.stderr and "; rank 1 on" in done.stderr
    left = tmp_path / ("policy" if stage == "grpo" else "student")
    manifest = json.loads((left / "manifest.json").read_text())
    assert (manifest["processes"], manifest["distributed_type"], manifest["status"]) == (2, sharding, "finished")
    if stage == "grpo":
        assert [row["step"] for row in jsonl.read(tmp_path / "rollouts/train.jsonl")] == [0] * 32 + [1] * 32 + [2] * 32
    whole = weights(left)
    shutil.rmtree(left / "checkpoint-3")
    next(left.glob("*.safetensors")).unlink()
    done = launch(stage, accelerate, 2, tmp_path, traces, *keys)
    assert "going on from" in done.stderr and "checkpoint-2" in done.stderr
    assert largest_difference(whole, weights(left)) == 0.0
    loaded = load_model(left, ModelConfig(dtype="float32"))
    base = load_model(f"recipes/arithmetic/models/{'base' if stage == 'grpo' else 'student_base'}", ModelConfig(dtype="float32"))
    assert 0 < largest_difference(base.state_dict(), loaded.state_dict()) < 0.1
