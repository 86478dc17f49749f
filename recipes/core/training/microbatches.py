"""Which rows of a generation are trained, and in which micro-batch.

A row whose advantage is zero has a zero gradient. It leaves its micro-batch before the forward
pass, and what is left is divided anew: completions of a prompt together, micro-batches with about
the same number of tokens. Each loss is then multiplied by what TRL's normaliser has become too
small for, so that gradients stay TRL's.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MicroBatch = dict[str, Any]

LOSS_SCALE = "loss_scale"

# What TRL divides the loss of a micro-batch by.
PER_ROW = {"grpo", "sapo", "dr_grpo", "luspo"}  # its number of rows
PER_TOKEN = {"bnpo"}  # its number of completion tokens
PER_GENERATION = {"dapo", "cispo", "vespo"}  # the number of tokens of the whole generation


@dataclass(frozen=True)
class Regrouping:
    """What the settings of a run allow.

    Args:
        loss_type: TRL's.
        window: micro-batches of one optimiser step, which may exchange rows.
        drops: whether a zero advantage means a zero gradient: no KL term, no entropy bonus.
    """

    loss_type: str
    window: int
    drops: bool

    def apply(self, batches: list[MicroBatch]) -> list[MicroBatch]:
        """The same number of micro-batches, with the rows that count."""
        # The tokens of a micro-batch are the normaliser of its rows, so they stay together.
        window = 1 if self.loss_type in PER_TOKEN else self.window
        regrouped = []
        for start in range(0, len(batches), window):
            regrouped += self._regroup(batches[start : start + window])
        return regrouped

    def _regroup(self, window: list[MicroBatch]) -> list[MicroBatch]:
        whole = _concatenate(window)
        size = len(window[0]["advantages"])
        tokens = int(whole["completion_mask"].sum())
        kept = _rows_that_count(whole, len(window), self.drops)

        # Divide by tokens, then scale by what was dropped or moved.
        batches = []
        for rows in _balanced(whole, kept, len(window)):
            batch = _select(whole, rows)
            if self.loss_type in PER_ROW:
                batch[LOSS_SCALE] = len(rows) / size
            elif self.loss_type in PER_TOKEN:
                batch[LOSS_SCALE] = int(batch["completion_mask"].sum()) / max(1, tokens)
            batches.append(batch)
        return batches


def is_row(value: Any) -> bool:
    """Whether a value of a batch has one entry a row, as opposed to one for all of them."""
    return isinstance(value, Tensor) and value.dim() > 0


def _concatenate(batches: list[MicroBatch]) -> MicroBatch:
    # Values that are no rows, such as the number of tokens of the generation, are the same in all.
    whole = dict(batches[0])
    for key, value in batches[0].items():
        if is_row(value):
            whole[key] = torch.cat([batch[key] for batch in batches])
    return whole


def _select(batch: MicroBatch, rows: Tensor) -> MicroBatch:
    return {key: value[rows] if is_row(value) else value for key, value in batch.items()}


def _rows_that_count(batch: MicroBatch, at_least: int, drops: bool) -> Tensor:
    """The rows that have a gradient, completed to one for each micro-batch.

    Without a row, a process would run no forward pass, and the others would wait for it.
    """
    advantages = batch["advantages"]
    if not drops:
        return torch.arange(len(advantages), device=advantages.device)
    # Masked truncated completions have no token that counts.
    counts = batch["completion_mask"].any(1) & (advantages != 0)
    missing = at_least - int(counts.sum())
    if missing > 0:
        counts[(~counts).nonzero().squeeze(1)[:missing]] = True
    return counts.nonzero().squeeze(1)


def _balanced(batch: MicroBatch, rows: Tensor, parts: int) -> list[Tensor]:
    """`rows` in `parts` of about the same number of tokens, none of them empty."""
    # The completions of a prompt follow each other: it is read once.
    prompt_of = torch.unique(batch["prompt_ids"], dim=0, return_inverse=True)[1]
    rows = rows[torch.argsort(prompt_of[rows], stable=True)]

    # Cut where the tokens so far pass the next fraction, but leave a row for each part.
    cost = batch["completion_mask"].sum(1)[rows].cumsum(0)
    cuts = [0]
    for part in range(1, parts):
        cut = int(torch.searchsorted(cost, cost[-1] * part / parts))
        cuts.append(min(max(cut, cuts[-1] + 1), len(rows) - parts + part))
    return list(rows.tensor_split(cuts[1:]))
