"""Resolves `rewards`, TRL's `reward_funcs` and `control` into one list of reward entries."""

from dataclasses import dataclass
from typing import Any

from recipes.core.config.config import Config, ControlArguments
from recipes.core.config.yaml_files import parse_list
from recipes.core.errors import UserError
from rewards import build_rewards, needs_answer

# Names that `trl grpo` accepts in reward_funcs.
TRL_REWARDS = ("accuracy_reward", "reasoning_accuracy_reward", "think_format_reward")

# Rewards of control runs. A gain that a control run makes too does not come from learning to
# reason (arXiv 2506.10947).
CONTROLS = {"random_reward": ["random"], "format_only": ["format"]}


@dataclass
class RewardArguments(ControlArguments):
    """Keys that decide which rewards are paid; at most one of the three forms."""

    rewards: list | str | None = None  # type: ignore[type-arg]
    reward_funcs: list[str] | None = None


@dataclass
class RewardWeightArguments:
    """TRL's weights, which belong to `reward_funcs`."""

    reward_weights: list[float] | None = None


def reward_entries(config: Config) -> list[Any]:
    """The entries for `rewards.build_rewards`: those of the control run, or the recipe's own.

    Raises `UserError` if a recipe has none, or gives them in two forms at once.
    """
    args = config.parse(RewardArguments)
    # A control run pays another reward than the recipe.
    if args.control:
        return _control_entries(args.control)
    # The two forms exclude each other.
    entries = parse_list("rewards", args.rewards, config.source)
    if entries and args.reward_funcs:
        raise UserError(f"{config.source}: keep only one of `rewards` and `reward_funcs`")
    if entries and config.is_set("reward_weights"):
        raise UserError(
            f"{config.source}: with `rewards`, write each weight in its own entry "
            "instead of `reward_weights`"
        )
    # The form that is there.
    if args.reward_funcs:
        return _trl_entries(args.reward_funcs, config)
    if not entries:
        raise UserError(
            f"{config.source}: `rewards` must be a list such as "
            f"[{{name: accuracy, weight: 1.0}}], got {entries!r}"
        )
    return entries


def rewards_need_answer(config: Config) -> bool:
    """Whether a reward of the run scores nothing without gold answers."""
    functions, _ = build_rewards(reward_entries(config))
    return any(needs_answer(function.reward) for function in functions)


def _control_entries(control: str) -> list[Any]:
    if control not in CONTROLS:
        raise UserError(f"control is {control!r}; write one of {', '.join(CONTROLS)}")
    return CONTROLS[control]


def _trl_entries(names: list[str], config: Config) -> list[Any]:
    """Entries of TRL's parallel lists `reward_funcs` and `reward_weights`."""
    # Every reward has a weight of 1 unless TRL's list says otherwise.
    weights = config.parse(RewardWeightArguments).reward_weights or [1.0] * len(names)
    if len(weights) != len(names):
        raise UserError(
            f"{config.source}: {len(names)} reward_funcs but {len(weights)} reward_weights"
        )
    entries = []
    for name, weight in zip(names, weights, strict=True):
        path = f"trl.rewards:{name}" if name in TRL_REWARDS else name
        entries.append({"name": path, "weight": weight})
    return entries
