"""The command of a stage on a machine with GPUs."""

import shutil

import pytest

from recipes.core.errors import UserError
from recipes.core.launch import command
from recipes.core.launch.command import build_command
from recipes.core.launch.request import parse_request

GRPO = "recipes/arithmetic/grpo.yaml"
GENERATE = "recipes/gsm8k/generate.yaml"


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(command, "visible_gpus", lambda: ["GPU-5", "GPU-7"])


def test_training_on_a_gpu_without_a_compiler_is_refused(two_gpus, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(UserError, match="there is no C compiler"):
        build_command(parse_request(["grpo", GRPO, "--accelerate", "single_gpu"]))
    build_command(parse_request(["generate", GENERATE]))  # does not train


def test_one_process_sees_only_the_gpus_that_its_model_is_split_over(two_gpus):
    split = build_command(parse_request(["generate", GENERATE, "--vllm_tensor_parallel_size", "2"]))
    assert split.environment == {"CUDA_VISIBLE_DEVICES": "GPU-5,GPU-7"}
    whole = build_command(parse_request(["generate", GENERATE]))
    assert whole.environment == {"CUDA_VISIBLE_DEVICES": "GPU-5"}
