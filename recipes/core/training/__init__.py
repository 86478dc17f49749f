"""Trainers and how they are run. The import takes seconds: it loads torch and TRL."""

from recipes.core.training.grpo_trainer import RecipeGRPOTrainer
from recipes.core.training.rollout_log import RolloutLog
from recipes.core.training.train import train
from recipes.core.training.trainers import RecipeDistillationTrainer, RecipeSFTTrainer

__all__ = [
    "RecipeDistillationTrainer",
    "RecipeGRPOTrainer",
    "RecipeSFTTrainer",
    "RolloutLog",
    "train",
]
