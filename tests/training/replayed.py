"""GRPO trainers that all get the same completions, so that their gradients can be compared."""

import random

import torch
from datasets import Dataset
from transformers import TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from recipes.core.training import RecipeGRPOTrainer, RolloutLog

BASE = "recipes/arithmetic/models/base"
COMPLETION_LENGTH = 20

# Prompts of several lengths. Those that begin with 0 are of groups without variance.
PROMPTS = ["0*7+3", "12*3+4", "7", "0", "98*7+6=<think>", "23*4=92 23*4"]


def pays_ones(completions, prompts, **columns):
    """How many ones a completion has; every completion of a prompt with 0 earns the same."""
    rewards = []
    for completion, prompt in zip(completions, prompts, strict=True):
        rewards.append(1.0 if prompt.startswith("0") else float(completion.count("1")))
    return rewards


class Replayed:
    """Mixin whose completions depend on the prompt, the step, and the place in the group alone."""

    def _generate_single_turn(self, prompt_ids, images, fields, num_generations, **kwargs):
        end = self.processing_class.eos_token_id
        digits = self.processing_class.convert_tokens_to_ids(list("0123456789"))
        completions = []
        for place, ids in enumerate(prompt_ids):
            dice = random.Random(f"{ids} {place} {self.state.global_step}")
            length = dice.randint(1, COMPLETION_LENGTH + 6)
            tokens = [*dice.choices(digits, k=length - 1), end]
            completions.append(tokens[:COMPLETION_LENGTH])  # a quarter of them is truncated
        return completions, None


class RecordGradients(TrainerCallback):
    """Keeps the gradient of every optimiser step as one vector."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.gradients.append(torch.cat([weight.grad.detach().flatten() for weight in trained]))


class ReplayedTRL(Replayed, GRPOTrainer):
    pass


class ReplayedRecipe(Replayed, RecipeGRPOTrainer):
    pass


def gradients(folder, trainer_class, peft_config=None, reward=pays_ones, steps=2, **settings):
    """The gradients of some steps of plain gradient descent."""
    defaults = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": False,
        "learning_rate": 1e-3,  # the second step compares gradients at the same weights
    }
    args = GRPOConfig(
        str(folder),
        max_steps=steps,
        num_generations=4,
        max_completion_length=COMPLETION_LENGTH,
        optim="sgd",
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"},
        **(defaults | settings),
    )
    is_ours = issubclass(trainer_class, RecipeGRPOTrainer)
    ours = {}
    if is_ours:
        ours = {
            "rollout_log": RolloutLog(folder, None),
            "efficient": True,
            "exact_flat_groups": True,
        }
    set_seed(7)
    trainer = trainer_class(
        model=BASE,
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS * 4]),
        peft_config=peft_config,
        **ours,
    )
    record = RecordGradients()
    trainer.add_callback(record)
    trainer.train()
    return record.gradients
