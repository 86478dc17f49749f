"""Configuration of a stage: which keys it takes, and what the user set them to."""

from recipes.core.config.config import Config, load_config, read_config
from recipes.core.config.rewards import (
    CorrectnessArguments,
    RewardArguments,
    reward_entries,
    rewards_need_answer,
)
from recipes.core.config.stage import RunArguments, StageSpec

__all__ = [
    "Config",
    "CorrectnessArguments",
    "RewardArguments",
    "RunArguments",
    "StageSpec",
    "load_config",
    "read_config",
    "reward_entries",
    "rewards_need_answer",
]
