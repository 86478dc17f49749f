"""NaN or infinity stops a training before the weights change, and the batch is in a file."""

import json

import pytest

from recipes.core.errors import UserError
from tests.support.commands import stage_here


def diverge(name, folder, *keys):
    """Trains with an absurd learning rate; returns the error and what the guard has written."""
    words = (
        *("--output_dir", folder, "--learning_rate", 1e30),
        *("--max_steps", 4, "--save_steps", 1),
    )
    with pytest.raises(UserError) as error:
        stage_here(name, f"recipes/arithmetic/{name}.yaml", *words, *keys)
    (file,) = folder.glob("*/not_finite-*-0.json")
    message = str(error.value)
    assert f"the batch is in {file}. Lower learning_rate" in message
    saved = json.loads(file.read_text())
    assert f"step {saved['step']}: {saved['what']}" in message
    return saved


def test_sft_saves_the_texts_of_the_batch(tmp_path, traces):
    saved = diverge("sft", tmp_path, "--traces", traces, "--warmup_steps", 0)
    assert any("<think>" in text for text in saved["batch"]["input_ids"])


def test_grpo_saves_the_batch_with_its_rollouts(tmp_path):
    saved = diverge("grpo", tmp_path, "--per_device_train_batch_size", 8, "--num_generations", 8)
    assert saved["prompts"] or saved["batch"]["completion_ids"]
    rollout = saved["rollouts"][0]
    assert {"step", "prompt", "completion", "rewards", "advantage"} <= set(rollout)
