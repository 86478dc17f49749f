"""Checks that packed traces can be kept apart."""

from typing import TYPE_CHECKING

from trl import ModelConfig

from recipes.core.errors import UserError

if TYPE_CHECKING:
    from trl import SFTConfig


def check_packing(training_args: "SFTConfig", model_args: ModelConfig) -> None:
    if (training_args.packing or training_args.padding_free) and "flash" not in (
        model_args.attn_implementation or ""
    ):
        raise UserError(
            "packing, padding_free: they need flash attention, which keeps the traces of a row apart; write "
            f"`attn_implementation: flash_attention_2` (is {model_args.attn_implementation!r}), or leave them out"
        )
