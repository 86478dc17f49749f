"""The efficient trainer has the gradients of TRL's, whatever the settings."""

import pytest
from peft import LoraConfig

from tests.training.replayed import ReplayedRecipe, ReplayedTRL, gradients

LORA = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)

LOSSES = ["grpo", "dapo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"]
SETTINGS = {
    "a KL term": {"beta": 0.04},
    "a KL term with correction": {"beta": 0.04, "use_bias_correction_kl": True},
    "an entropy bonus": {"entropy_coef": 0.01},
    "tokens of high entropy": {"top_entropy_quantile": 0.5},
    "two iterations": {"num_iterations": 2, "learning_rate": 0.1},
    "two steps per generation": {"steps_per_generation": 4},
    "no accumulation": {"gradient_accumulation_steps": 1},
    "four micro-batches": {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 4},
    "rewards scaled by batch": {"scale_rewards": "batch"},
    "rewards not scaled": {"scale_rewards": "none"},
    "masked truncated completions": {"mask_truncated_completions": True},
    "sequence-level importance": {"importance_sampling_level": "sequence", "num_iterations": 2},
    "two-sided clipping": {"delta": 1.5, "num_iterations": 2},
    "another temperature": {"temperature": 0.7},
    "gradient checkpointing": {"gradient_checkpointing": True},
    "normalised rewards": {"multi_objective_aggregation": "normalize_then_sum"},
}

# A few of both, for every run of the tests.
USUAL = {
    "dapo, LoRA": {"loss_type": "dapo", "peft_config": LORA},
    "grpo, full weights": {"loss_type": "grpo"},
    "bnpo, LoRA": {"loss_type": "bnpo", "peft_config": LORA},
    "dapo, a KL term": {"loss_type": "dapo", "peft_config": LORA, "beta": 0.04},
    "two iterations": {"peft_config": LORA} | SETTINGS["two iterations"],
}


def difference(folder, **settings):
    """By how much the gradients differ from TRL's, relative to the largest of them."""
    theirs = gradients(folder / "trl", ReplayedTRL, **settings)
    ours = gradients(folder / "ours", ReplayedRecipe, **settings)
    largest = max(float(gradient.norm()) for gradient in theirs)
    assert largest > 1e-3
    return max(float((x - y).norm()) / largest for x, y in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("settings", USUAL.values(), ids=USUAL)
def test_gradients_are_those_of_trl(tmp_path, settings):
    assert difference(tmp_path, **settings) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_trl_for_every_loss(tmp_path, loss, peft_config):
    assert difference(tmp_path, loss_type=loss, peft_config=peft_config) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_gradients_are_those_of_trl_for_every_setting(tmp_path, settings):
    assert difference(tmp_path, loss_type="dapo", peft_config=LORA, **settings) < 1e-5
