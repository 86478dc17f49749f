"""Lays the rows of a micro-batch out without padding, each prompt once for all its completions.

    padded rows                      one sequence: prompts, then completions
    .  q1 q2 | a1 a2 .               q1 | q2 a1 | q2 b1 b2 | r1 r2 | r3 c1
    .  q1 q2 | b1 b2 b3
    r1 r2 r3 | c1 c2 .

A prompt is shared but for its last token, which opens every completion: it is where the first token
of each is predicted. The last token of a completion predicts nothing, so it is not there.

Shapes: G prompts of up to P shared tokens, R rows of up to M tokens, T tokens in the sequence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100  # the label of a position that predicts nothing


@dataclass(frozen=True)
class Grid:
    """Where the tokens of a sequence stand in a grid of padded rows."""

    is_token: Tensor  # (rows, width), bool; False is padding
    place: Tensor  # (tokens,): the place of each token in the flattened grid
    token: Tensor  # (rows * width,): the token at each place; any token where there is padding

    @classmethod
    def of_lengths(cls, lengths: Tensor) -> "Grid":
        """The grid of rows with these numbers of tokens, which follow each other."""
        # Rows begin where those before them end.
        width = int(lengths.max())
        columns = torch.arange(width, device=lengths.device)
        is_token = columns < lengths[:, None]
        starts = lengths.cumsum(0) - lengths
        token = torch.where(is_token, starts[:, None] + columns, 0).flatten()
        return cls(is_token, is_token.flatten().nonzero().squeeze(1), token)

    def pad(self, tokens: Tensor) -> Tensor:
        """(tokens, heads, dim) as (rows, heads, width, dim)."""
        padded: Tensor = _Pad.apply(tokens, self)
        return padded.view(*self.is_token.shape, *tokens.shape[1:]).transpose(1, 2)

    def unpad(self, padded: Tensor) -> Tensor:
        """(rows, width, heads, dim) as (tokens, heads, dim)."""
        tokens: Tensor = _Unpad.apply(padded.flatten(0, 1), self)
        return tokens


@dataclass(frozen=True)
class PackedGroups:
    """A micro-batch as one sequence."""

    input_ids: Tensor  # (1, T)
    position_ids: Tensor  # (1, T): the place of a token in its row
    targets: Tensor  # (1, T): the token that each position predicts, or IGNORED
    prompts: Grid  # of the shared tokens: G x P
    rows: Grid  # of the others: R x M
    prompt_of: Tensor  # (R,): the prompt of each row
    attention_mask: Tensor  # (R, 1, M, P + M), bool: a row sees its prompt, and itself backwards

    @property
    def shared(self) -> int:
        """How many tokens are in the prompts; they come first in the sequence."""
        return len(self.prompts.place)

    def unpack(self, values: Tensor, width: int) -> Tensor:
        """The values (1, T) of the completion tokens as (R, width), 0 where there is padding."""
        count, longest = self.rows.is_token.shape
        padded = values.new_zeros(count * longest).index_copy(
            0, self.rows.place, values[0, self.shared :]
        )
        return torch.nn.functional.pad(padded.view(count, longest), (0, width - longest))


def pack_groups(input_ids: Tensor, attention_mask: Tensor, completion_width: int) -> PackedGroups:
    """Packs padded rows.

    Args:
        input_ids: (R, tokens), prompts padded on the left and completions on the right.
        attention_mask: (R, tokens), 1 for tokens, 0 for padding.
        completion_width: how many of the columns are completions.
    """
    real = attention_mask.bool()
    prompt_lengths = real[:, :-completion_width].sum(1)
    lengths = real[:, -completion_width:].sum(1)

    # Equal prompts are one; the first row that has a prompt stands for it.
    prompt_of, first_rows = _equal_rows(input_ids[:, :-completion_width])
    shared_lengths = prompt_lengths[first_rows] - 1
    prompts = Grid.of_lengths(shared_lengths)
    rows = Grid.of_lengths(lengths)

    # Prompts without their last tokens …
    columns = torch.arange(input_ids.shape[1], device=input_ids.device)
    last_prompt_column = input_ids.shape[1] - completion_width - 1
    is_shared = real[first_rows] & (columns < last_prompt_column)
    shared_ids = input_ids[first_rows][is_shared]

    # … then each row from the last token of its prompt to the last but one of its completion.
    is_fed = (columns >= last_prompt_column) & (columns < last_prompt_column + lengths[:, None])
    is_target = (columns > last_prompt_column) & (columns <= last_prompt_column + lengths[:, None])

    # Positions count from the start of the prompt.
    shared_positions = (columns[: prompts.is_token.shape[1]]).expand_as(prompts.is_token)
    own_positions = columns[: rows.is_token.shape[1]] + shared_lengths[prompt_of][:, None]
    position_ids = torch.cat([shared_positions[prompts.is_token], own_positions[rows.is_token]])

    return PackedGroups(
        input_ids=torch.cat([shared_ids, input_ids[is_fed]])[None],
        position_ids=position_ids[None],
        targets=torch.cat([torch.full_like(shared_ids, IGNORED), input_ids[is_target]])[None],
        prompts=prompts,
        rows=rows,
        prompt_of=prompt_of,
        attention_mask=_attention_mask(prompts, rows, prompt_of),
    )


def _equal_rows(ids: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the number of its distinct value, and for each value its first row."""
    values, value_of = torch.unique(ids, dim=0, return_inverse=True)
    row = torch.arange(len(ids), device=ids.device)
    first = row.new_full((len(values),), len(ids)).scatter_reduce(0, value_of, row, "amin")
    return value_of, first


def _attention_mask(prompts: Grid, rows: Grid, prompt_of: Tensor) -> Tensor:
    """(R, 1, M, P + M): what each token of a row sees."""
    # Padding comes last in a row, so no token of the row sees it.
    count, width = rows.is_token.shape
    column = torch.arange(width, device=prompt_of.device)
    sees_itself = (column[:, None] >= column).expand(count, -1, -1)
    sees_prompt = prompts.is_token[prompt_of][:, None].expand(-1, width, -1)
    return torch.cat([sees_prompt, sees_itself], dim=-1)[:, None]


# Autograd would add up gradients row by row, in case an index is there twice. None is.


class _Pad(torch.autograd.Function):
    """Padded rows of tokens; padding holds anything, because the mask hides it."""

    @staticmethod
    def forward(ctx, tokens: Tensor, grid: Grid) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.grid = grid
        return tokens.index_select(0, grid.token)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        return gradient.index_select(0, ctx.grid.place), None


class _Unpad(torch.autograd.Function):
    """Tokens of padded rows; padding gets no gradient."""

    @staticmethod
    def forward(ctx, padded: Tensor, grid: Grid) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.grid = grid
        return padded.index_select(0, grid.place)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        is_token = ctx.grid.is_token.flatten()[:, None, None]
        return gradient.index_select(0, ctx.grid.token) * is_token, None
