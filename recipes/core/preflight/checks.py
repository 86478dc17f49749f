"""What can be known to be wrong before torch is imported: one list of checks for all stages.

    fail_fast(config)

The stages, the launcher and Slurm's submission run the same list. A check raises `UserError`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from trl import ModelConfig

from recipes.core.config import Config, CorrectnessArguments, reward_entries
from recipes.core.errors import UserError
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.preflight.model import check_memory_keys, check_model_path, check_not_quantised
from recipes.core.preflight.output_folder import check_output_folder
from recipes.core.preflight.packing import check_packing
from recipes.core.preflight.splits import warn_of_training_questions
from recipes.core.preflight.vllm import check_vllm
from recipes.core.runtime.device import has_accelerator
from rewards import build_rewards, get_reward

TRAINING = ("grpo", "sft", "on_policy")
SAMPLING = ("generate", "evaluate")


@dataclass(frozen=True)
class Check:
    """One check, and the stages that it is for."""

    stages: tuple[str, ...]
    run: Callable[[Config], None]


@dataclass
class MemoryArguments:
    """Keys of transformers and TRL that save memory, with their defaults."""

    optim: str = "adamw_torch_fused"
    activation_offloading: bool = False


@dataclass
class PackingArguments:
    """TRL's keys that put several traces into a row, with TRL's defaults."""

    packing: bool = False
    padding_free: bool = False


@dataclass
class VLLMArguments:
    """TRL's keys that choose vLLM for sampling, with TRL's defaults."""

    use_vllm: bool = False
    vllm_mode: str = "colocate"


@dataclass
class TemperatureArguments:
    """TRL's key for sampling, with TRL's default."""

    temperature: float = 1.0


@dataclass
class EvaluationArguments:
    """The keys that decide whether a stage reads the held-out split, with their defaults."""

    eval_strategy: str = "no"
    decontaminate: bool = True


def fail_fast(config: Config) -> None:
    """Runs the checks of the stage; with `--print-config`, prints the configuration and exits.

    Raises `UserError` for the first mistake.
    """
    assert config.stage
    for check in CHECKS:
        if config.stage.name in check.stages:
            check.run(config)
    config.print_and_exit()


def _check_rewards(config: Config) -> None:
    build_rewards(reward_entries(config))


def _check_correctness_reward(config: Config) -> None:
    get_reward(config.parse(CorrectnessArguments).correctness_reward)


def _check_model(config: Config) -> None:
    check_model_path("model_name_or_path", config.parse(ModelConfig).model_name_or_path)


def _check_batch(config: Config) -> None:
    check_batch(config.parse(BatchArguments), int(os.environ.get("WORLD_SIZE", "1")))


def _check_temperature(config: Config) -> None:
    temperature = config.parse(TemperatureArguments).temperature
    if temperature <= 0:
        raise UserError(
            f"temperature: {temperature:g} samples the same completion every time, and training "
            "learns from the differences; write 1.0"
        )


def _check_output_folder(config: Config) -> None:
    assert config.stage
    # Models are folders; other artefacts are files in the folder of the run.
    folder = config.run_dir
    check_output_folder(folder / config.stage.artifact if config.stage.trl_config else folder)


def _check_splits(config: Config) -> None:
    args = config.parse(EvaluationArguments)
    assert config.stage
    # Training may read no held-out questions; generate reads them to leave their traces out.
    reads_held_out = {
        "generate": args.decontaminate,
        "evaluate": True,
    }
    if reads_held_out.get(config.stage.name, args.eval_strategy != "no"):
        warn_of_training_questions(config)


def _check_not_quantised(config: Config) -> None:
    check_not_quantised(config.parse(ModelConfig))


def _check_memory_keys(config: Config) -> None:
    check_memory_keys(config.parse(MemoryArguments), config.parse(ModelConfig))


def _check_packing(config: Config) -> None:
    check_packing(config.parse(PackingArguments), config.parse(ModelConfig))


def _check_vllm(config: Config) -> None:
    args = config.parse(VLLMArguments)
    if not args.use_vllm:
        return
    # The package and the model …
    check_vllm("use_vllm", config.parse(ModelConfig))
    # … and the way to the server.
    if args.vllm_mode == "server" and not has_accelerator():
        raise UserError(
            "vllm_mode: server: TRL sends the weights to the server by NCCL, which needs a GPU; "
            "write vllm_mode: colocate"
        )


CHECKS = (
    Check(("grpo",), _check_rewards),
    Check(TRAINING + SAMPLING, _check_output_folder),
    Check(TRAINING, _check_model),
    Check(("grpo",), _check_batch),
    Check(("grpo", "on_policy"), _check_temperature),
    Check(TRAINING, _check_memory_keys),
    Check(("sft",), _check_packing),
    Check(("grpo",), _check_vllm),
    Check(("grpo", "on_policy", *SAMPLING), _check_splits),
    Check(SAMPLING, _check_not_quantised),
    Check(SAMPLING, _check_correctness_reward),
)
