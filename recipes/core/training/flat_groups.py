"""Groups whose completions all earned the same: their advantage is exactly zero.

TRL subtracts a mean in float32, and is left with its rounding error: a group that earned 1.2
throughout has advantages of 0.0012 instead of 0. Here equality of the rewards decides.
"""

from typing import Any

import torch
from torch import Tensor


class ExactFlatGroups:
    """Mixin for GRPOTrainer that does so with `exact_flat_groups`.

    It overrides TRL's private `_generate_and_score_completions`, and reads and amends `_logs`.
    """

    exact_flat_groups: bool

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        generate = super()._generate_and_score_completions  # type: ignore[misc]  # TRL's
        output: dict[str, Any] = generate(inputs)
        # The other aggregation subtracts the mean of the batch, so no group has zero.
        is_summed = self.multi_objective_aggregation == "sum_then_normalize"
        if not (self.exact_flat_groups and is_summed and self.model.training):
            return output

        # TRL's log ends with the rows of all processes; a group may lie in two of them.
        own = len(output["advantages"])
        count = own * self.accelerator.num_processes
        columns = [list(values)[-count:] for values in self._logs["rewards"].values()]
        rewards = weighted_sum(torch.tensor(columns, dtype=torch.float64), self.reward_weights)
        flat = flat_rows(rewards, self.num_generations)

        # Zero the advantages of this process, and those in the log.
        first = own * self.accelerator.process_index
        own_flat = flat[first : first + own].to(output["advantages"].device)
        output["advantages"] = output["advantages"].masked_fill(own_flat, 0.0)
        logged = self._logs["advantages"]
        for index, is_flat in enumerate(flat.tolist(), start=len(logged) - count):
            if is_flat:
                logged[index] = 0.0
        return output


def weighted_sum(rewards: Tensor, weights: Tensor) -> Tensor:
    """(rows,) from (rewards, rows): what a completion earns; NaN where no reward could score it."""
    total = (rewards * weights.to(rewards)[:, None]).nansum(0)
    return total.masked_fill(rewards.isnan().all(0), torch.nan)


def flat_rows(rewards: Tensor, group_size: int) -> Tensor:
    """(rows,), bool: whether all completions of the row's group earned the same.

    Args:
        rewards: (rows,), NaN where no reward could score a completion.
        group_size: completions of a prompt, which follow each other.
    """
    # What could not be scored counts neither as the lowest nor as the highest.
    groups = rewards.view(-1, group_size)
    lowest = groups.nan_to_num(nan=torch.inf).amin(1)
    highest = groups.nan_to_num(nan=-torch.inf).amax(1)
    return (lowest >= highest).repeat_interleave(group_size)
