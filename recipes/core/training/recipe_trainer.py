"""What the trainers of this repository share."""

from typing import Any

from recipes.core.training.finite_guard import FiniteGuard
from recipes.core.training.model_card import ModelCard


class RecipeTrainer(ModelCard, FiniteGuard):
    """Mixin for trainers: stops at NaN and after the last step, and writes a model card.

    It overrides transformers' private `_run_epoch`, one pass over the data.
    """

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # A run that was killed after its last checkpoint resumes with no step left; transformers
        # would train one more.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    def learning_problem(self) -> str | None:
        """Why the run could not learn, for people; `None` if it could, or if nobody can tell."""
        return None
