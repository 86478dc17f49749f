"""Several processes with every accelerate config train as one, save, resume and leave a model."""

import json
import shutil

import pytest

from recipes.core.files import read_jsonl
from tests.support.commands import largest_difference, ok, run, weights

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
CONFIGS = ("ddp", "zero2", "zero3", "fsdp2")
KEYS = {
    "grpo": (
        GRPO,
        "--per_device_train_batch_size",
        8,
        "--num_generations",
        8,
        "--gradient_accumulation_steps",
        2,
    ),
    "sft": (
        SFT,
        "--per_device_train_batch_size",
        8,
        "--gradient_accumulation_steps",
        2,
        "--lr_scheduler_type",
        "constant",
    ),
}
# In `make test`; the others of the matrix have the mark `slow`.
USUAL = {
    ("zero3", "grpo", "lora"),
    ("fsdp2", "sft", "full"),
}
CASES = [(config, stage, kind) for config in CONFIGS for stage in KEYS for kind in ("lora", "full")]
CASES += [
    ("zero1", "sft", "full"),
    ("zero3_offload", "sft", "lora"),
]  # the latter compiles for minutes at its first start
MATRIX = [
    pytest.param(*case, marks=[] if case in USUAL else pytest.mark.slow, id="-".join(case))
    for case in CASES
]


def launch(stage, accelerate, processes, out, traces, *keys):
    extra = ("--traces", traces) if stage == "sft" else ()
    config, *rest = KEYS[stage]
    words = (
        "--accelerate",
        accelerate,
        "--num-processes",
        processes,
        "--output_dir",
        out,
        *rest,
        *extra,
        *keys,
    )
    return ok(run("bash", "launch.sh", stage, config, *words))


@pytest.mark.parametrize(("accelerate", "stage", "kind"), MATRIX)
def test_two_processes_train_save_go_on_and_leave_a_model_that_loads(
    tmp_path, traces, accelerate, stage, kind
):
    from trl import ModelConfig

    from recipes.core.models.loading import load_model

    peft = (
        ("--use_peft", "true", "--lora_target_modules", "all-linear")
        if kind == "lora"
        else ("--use_peft", "false")
    )
    keys = (
        *peft,
        "--max_steps",
        3,
        "--save_steps",
        2,
        "--save_total_limit",
        3,
        "--learning_rate",
        1e-3,
    )
    done = launch(stage, accelerate, 2, tmp_path, traces, *keys)
    sharding = {"ddp": "MULTI_CPU", "fsdp2": "FSDP"}.get(accelerate, "DEEPSPEED")
    assert (
        f"2 processes, {sharding}, backend gloo: rank 0 on" in done.stderr
        and "; rank 1 on" in done.stderr
    )
    left = tmp_path / ("policy" if stage == "grpo" else "student")
    manifest = json.loads((left / "manifest.json").read_text())
    assert (manifest["processes"], manifest["distributed_type"], manifest["status"]) == (
        2,
        sharding,
        "finished",
    )
    if stage == "grpo":
        assert [row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")] == [
            0
        ] * 32 + [1] * 32 + [2] * 32
    whole = weights(left)
    shutil.rmtree(left / "checkpoint-3")
    next(left.glob("*.safetensors")).unlink()
    done = launch(stage, accelerate, 2, tmp_path, traces, *keys)
    assert "resuming from" in done.stderr and "checkpoint-2" in done.stderr
    # DeepSpeed's AdamW for CPUs multiplies its betas step by step, but takes powers of them after a
    # resume: the last bit differs.
    assert largest_difference(whole, weights(left)) <= (
        1e-7 if accelerate == "zero3_offload" else 0.0
    )
    loaded = load_model(left, ModelConfig(dtype="float32"))
    base = load_model(
        f"recipes/arithmetic/models/{'base' if stage == 'grpo' else 'student_base'}",
        ModelConfig(dtype="float32"),
    )
    assert 0 < largest_difference(base.state_dict(), loaded.state_dict()) < 0.1


def test_two_processes_learn_from_traces_what_one_does_with_twice_the_batch(tmp_path, traces):
    keys = ("--max_steps", 4, "--learning_rate", 1e-3, "--max_length", 128)
    launch("sft", "ddp", 2, tmp_path / "two", traces, *keys)
    launch("sft", "cpu", 1, tmp_path / "one", traces, *keys, "--per_device_train_batch_size", 16)
    assert (
        largest_difference(weights(tmp_path / "one/student"), weights(tmp_path / "two/student"))
        < 1e-5
    )
