"""Resolves `rewards`, TRL's `reward_funcs` and `control` into one list of reward entries."""

from dataclasses import dataclass
from typing import Any

import yaml

from recipes.core.config.config import Config, ControlArguments
from recipes.core.config.yaml_files import parse_list
from recipes.core.errors import UserError, one_line
from rewards import build_rewards, needs_answer

# Names that `trl grpo` accepts in reward_funcs, and the rewards that they are. The last one is a
# factory there, with these lengths.
TRL_REWARDS: dict[str, dict[str, Any]] = {
    "accuracy_reward": {"name": "trl.rewards:accuracy_reward"},
    "reasoning_accuracy_reward": {"name": "trl.rewards:reasoning_accuracy_reward"},
    "think_format_reward": {"name": "trl.rewards:think_format_reward"},
    "get_soft_overlong_punishment": {"name": "overlong", "max_tokens": 1280, "cache_tokens": 256},
}

# Rewards of control runs. A gain that a control run makes too does not come from learning to
# reason (arXiv 2506.10947).
CONTROLS = {"random_reward": ["random"], "format_only": ["format"]}


@dataclass
class RewardArguments(ControlArguments):
    """Keys that decide which rewards are paid: ours, or the two of TRL, or a control."""

    rewards: list | str | None = None  # type: ignore[type-arg]
    reward_funcs: list[str] | None = None
    reward_model_name_or_path: str | None = None


@dataclass
class CorrectnessArguments:
    """The key of `generate` and `evaluate` that says which reward decides what is right.

    A name, or an entry with parameters as in `rewards`, which is YAML text on the command line.
    """

    correctness_reward: dict | str | None = "accuracy"  # type: ignore[type-arg]

    def __post_init__(self) -> None:
        text = self.correctness_reward
        if not isinstance(text, str) or not text.lstrip().startswith("{"):
            return
        try:
            self.correctness_reward = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"correctness_reward is not valid YAML: {one_line(error)}") from error


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
    trl_key = "reward_funcs" if args.reward_funcs else "reward_model_name_or_path"
    if entries and (args.reward_funcs or args.reward_model_name_or_path):
        raise UserError(f"{config.source}: keep only one of `rewards` and `{trl_key}`")
    if entries and config.is_set("reward_weights"):
        raise UserError(
            f"{config.source}: with `rewards`, write each weight in its own entry "
            "instead of `reward_weights`"
        )
    # The form that is there.
    if args.reward_funcs or args.reward_model_name_or_path:
        return _trl_entries(args, config)
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


def _trl_entries(args: RewardArguments, config: Config) -> list[Any]:
    """Entries of TRL's keys: `reward_funcs`, a reward model, and `reward_weights` for both."""
    # TRL puts the reward model first.
    rewards: list[dict[str, Any]] = []
    if args.reward_model_name_or_path:
        model = {"name": "model", "model_name_or_path": args.reward_model_name_or_path}
        rewards.append(model)
    for name in args.reward_funcs or []:
        rewards.append(TRL_REWARDS.get(name, {"name": name}))

    # Every reward has a weight of 1 unless TRL's list says otherwise.
    weights = config.parse(RewardWeightArguments).reward_weights or [1.0] * len(rewards)
    if len(weights) != len(rewards):
        raise UserError(
            f"{config.source}: {len(weights)} reward_weights for {len(rewards)} rewards "
            f"({', '.join(reward['name'] for reward in rewards)})"
        )
    return [reward | {"weight": weight} for reward, weight in zip(rewards, weights, strict=True)]
