"""TRL's SFTTrainer and DistillationTrainer with the checks of this repository."""

from typing import Any

from trl import DistillationTrainer, SFTTrainer

from recipes.core.training.autocast import AutocastGeneration
from recipes.core.training.finite_guard import FiniteGuard


class RecipeSFTTrainer(FiniteGuard, SFTTrainer):
    """TRL's SFTTrainer with the guard."""


class RecipeDistillationTrainer(AutocastGeneration, FiniteGuard, DistillationTrainer):
    """TRL's DistillationTrainer with the guard. Its loss does not go through the forward pass that accelerate casts."""

    def _compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        with self.accelerator.autocast():
            return super()._compute_loss(*args, **kwargs)
