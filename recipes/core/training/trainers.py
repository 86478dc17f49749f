"""TRL's SFTTrainer and DistillationTrainer with the checks of this repository."""

from typing import Any

from trl import DistillationTrainer, SFTTrainer

from recipes.core.training.autocast import AutocastGeneration
from recipes.core.training.recipe_trainer import RecipeTrainer


class RecipeSFTTrainer(RecipeTrainer, SFTTrainer):
    """TRL's SFTTrainer that stops at NaN."""


class RecipeDistillationTrainer(AutocastGeneration, RecipeTrainer, DistillationTrainer):
    """TRL's DistillationTrainer that stops at NaN.

    TRL's private `_compute_loss` calls the models outside of the forward pass that accelerate casts
    to bfloat16; here it is cast too.
    """

    def _compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        with self.accelerator.autocast():
            return super()._compute_loss(*args, **kwargs)
