"""Resolves `rewards`, TRL's `reward_funcs` and `control` into one list of reward entries."""

from dataclasses import dataclass, field
from typing import Any

from recipes.core.config.config import Config
from recipes.core.config.yaml_files import parse_list
from recipes.core.errors import UserError

TRL_REWARDS = (
    "accuracy_reward",
    "reasoning_accuracy_reward",
    "think_format_reward",
)  # names that `trl grpo` knows


@dataclass
class RewardArguments:
    """Keys that say which rewards are paid."""

    rewards: list | str | None = field(  # type: ignore[type-arg]
        default=None,
        metadata={"help": "Entries {name, weight, parameters ...}; see rewards/__init__.py."},
    )
    reward_funcs: list[str] | None = field(
        default=None, metadata={"help": "TRL's form of `rewards`: names or dotted paths."}
    )
    control: str | None = field(
        default=None,
        metadata={"help": "Run with random_reward or format_only instead of `rewards`."},
    )


def reward_entries(args: RewardArguments, config: Config) -> list[Any]:
    """The recipe's `rewards`, or TRL's `reward_funcs` and `reward_weights` in the same form."""
    entries = parse_list("rewards", args.rewards, config.source)
    if entries and args.reward_funcs:
        raise UserError(
            f"{config.source}: `rewards` and `reward_funcs` say the same thing; keep one of them"
        )
    if entries and config.given("reward_weights"):
        raise UserError(
            f"{config.source}: with `rewards`, write each weight in its own entry instead of `reward_weights`"
        )
    if args.reward_funcs:
        weights = config.parse(WeightArguments).reward_weights or [1.0] * len(args.reward_funcs)
        if len(weights) != len(args.reward_funcs):
            raise UserError(
                f"{config.source}: {len(args.reward_funcs)} reward_funcs but {len(weights)} reward_weights"
            )
        names = [
            f"trl.rewards:{name}" if name in TRL_REWARDS else name for name in args.reward_funcs
        ]
        return [
            {"name": name, "weight": weight} for name, weight in zip(names, weights, strict=True)
        ]
    if not entries:
        raise UserError(
            f"{config.source}: `rewards` must be a list such as [{{name: accuracy, weight: 1.0}}], is {entries!r}"
        )
    return entries


def control_entries(control: str) -> list[Any]:
    """The rewards of a control run: a gain that it makes, too, is not reasoning learnt from right answers (arXiv 2506.10947)."""
    controls = {"random_reward": ["random"], "format_only": ["format"]}
    if control not in controls:
        raise UserError(f"control is {control!r}; write one of {', '.join(controls)}")
    return controls[control]


@dataclass
class WeightArguments:
    reward_weights: list[float] | None = None
