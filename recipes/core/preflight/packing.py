"""Checks that packed traces are kept apart."""

from typing import Protocol

from trl import ModelConfig

from recipes.core.errors import UserError


class PackingKeys(Protocol):
    """TRL's keys that put several traces into one row."""

    packing: bool
    padding_free: bool


def check_packing(args: PackingKeys, model_args: ModelConfig) -> None:
    """Raises `UserError` for packing without flash attention."""
    is_packed = args.packing or args.padding_free
    attention = model_args.attn_implementation
    # Other implementations would let a trace attend to its neighbours in the row.
    if not is_packed or "flash" in (attention or ""):
        return
    raise UserError(
        "packing, padding_free: they need flash attention, which keeps the traces of a row apart; "
        f"write `attn_implementation: flash_attention_2` (is {attention!r}), or leave them out"
    )
