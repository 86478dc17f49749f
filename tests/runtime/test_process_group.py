"""Two processes, by every accelerate config: they train as one, resume, and save a usable model."""

import itertools
import json
import shutil

import pytest

from recipes.core.files import read_jsonl
from tests.support.commands import largest_difference, ok, run, weights

MODELS = "recipes/arithmetic/models"
COMMON = ("--per_device_train_batch_size", 8, "--gradient_accumulation_steps", 2)
STAGE_KEYS = {
    "grpo": ("--num_generations", 8),
    "sft": ("--lr_scheduler_type", "constant"),
}
KIND_KEYS = {
    "lora": ("--use_peft", "true", "--lora_target_modules", "all-linear"),
    "full": ("--use_peft", "false"),
}
ARTEFACTS = {"grpo": "policy", "sft": "student"}
BASE_MODELS = {"grpo": "base", "sft": "student_base"}
DISTRIBUTED_TYPES = {
    "ddp": "MULTI_CPU",
    "zero1": "DEEPSPEED",
    "zero2": "DEEPSPEED",
    "zero3": "DEEPSPEED",
    "zero3_offload": "DEEPSPEED",
    "fsdp2": "FSDP",
}

# In `make test`; the others have the mark `slow`.
USUAL = {("zero3", "grpo", "lora"), ("fsdp2", "sft", "full")}
CASES = [
    *itertools.product(("ddp", "zero2", "zero3", "fsdp2"), STAGE_KEYS, KIND_KEYS),
    ("zero1", "sft", "full"),
    ("zero3_offload", "sft", "lora"),  # compiles for minutes at its first start
]


def parameters(case):
    marks = []
    if case not in USUAL:
        marks.append(pytest.mark.slow)
    return pytest.param(*case, marks=marks, id="-".join(case))


def launch(stage, accelerate, processes, folder, traces, *keys):
    """Runs a stage by launch.sh."""
    words = (
        *("bash", "launch.sh", stage, f"recipes/arithmetic/{stage}.yaml"),
        *("--accelerate", accelerate, "--num-processes", processes, "--output_dir", folder),
        *(*COMMON, *STAGE_KEYS[stage]),
    )
    if stage == "sft":
        words += ("--traces", traces)
    return ok(run(*words, *keys))


@pytest.mark.parametrize(("accelerate", "stage", "kind"), [parameters(case) for case in CASES])
def test_two_processes_train_save_and_resume_and_the_model_loads(
    tmp_path, traces, accelerate, stage, kind
):
    from trl import ModelConfig

    from recipes.core.models.loading import load_model

    # Two processes train as one group.
    keys = (
        *KIND_KEYS[kind],
        *("--max_steps", 3, "--save_steps", 2, "--save_total_limit", 3, "--learning_rate", 1e-3),
    )
    done = launch(stage, accelerate, 2, tmp_path, traces, *keys)
    distributed_type = DISTRIBUTED_TYPES[accelerate]
    assert f"2 processes, {distributed_type}, backend gloo: rank 0 on" in done.stderr
    assert "; rank 1 on" in done.stderr

    # What they wrote.
    folder = tmp_path / ARTEFACTS[stage]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["processes"] == 2
    assert manifest["distributed_type"] == distributed_type
    assert manifest["status"] == "finished"
    if stage == "grpo":
        steps = [row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")]
        assert steps == [0] * 32 + [1] * 32 + [2] * 32

    # A run that lost its last step resumes and ends with the same weights.
    uninterrupted = weights(folder)
    shutil.rmtree(folder / "checkpoint-3")
    next(folder.glob("*.safetensors")).unlink()
    done = launch(stage, accelerate, 2, tmp_path, traces, *keys)
    assert "resuming from" in done.stderr and "checkpoint-2" in done.stderr
    tolerance = 0.0
    if accelerate == "zero3_offload":
        # DeepSpeed's AdamW for CPUs multiplies its betas step by step, and takes their powers when
        # it resumes: the last bit differs.
        tolerance = 1e-7
    assert largest_difference(uninterrupted, weights(folder)) <= tolerance

    # The model loads, and has moved from its base.
    args = ModelConfig(dtype="float32")
    trained = load_model(folder, args).state_dict()
    base = load_model(f"{MODELS}/{BASE_MODELS[stage]}", args).state_dict()
    assert 0 < largest_difference(base, trained) < 0.1


def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path, traces):
    keys = ("--max_steps", 4, "--learning_rate", 1e-3, "--max_length", 128)
    two = tmp_path / "two"
    one = tmp_path / "one"
    launch("sft", "ddp", 2, two, traces, *keys)
    launch("sft", "cpu", 1, one, traces, *keys, "--per_device_train_batch_size", 16)
    assert largest_difference(weights(one / "student"), weights(two / "student")) < 1e-5
