"""Pure reinforcement learning: GRPO on a base model with rewards, no SFT before it.

    accelerate launch recipes/grpo.py --config recipes/arithmetic/grpo.yaml [--key value ...]

Reads questions with answers. Leaves, under outputs/<recipe>/: `policy/` (LoRA adapter, or full weights with
`use_peft: false`) and `rollouts/train.jsonl` (every completion with its rewards and advantage). Started again, it goes on
from the last checkpoint.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl import ModelConfig

import rewards
from recipes.core import config as configuration
from recipes.core import data, jsonl, manifest, models, prompts, resume
from recipes.core.config import StageArguments, UserError
from recipes.core.stage import run

TRL_REWARDS = ("accuracy_reward", "reasoning_accuracy_reward", "think_format_reward")  # names that `trl grpo` knows


@dataclass
class GRPOArguments(data.DataArguments):
    """Keys of this stage that are not TRL's."""

    rewards: list | str | None = field(  # type: ignore[type-arg]
        default=None, metadata={"help": "Entries {name, weight, parameters ...}; see rewards/__init__.py."}
    )
    reward_funcs: list[str] | None = field(default=None, metadata={"help": "TRL's form of `rewards`: names or dotted paths."})
    max_seconds: float | None = field(default=None, metadata={"help": "Stop after so many seconds of training, too."})
    control: str | None = field(default=None, metadata={"help": "Run with random_reward or format_only instead of `rewards`."})


@dataclass
class BatchArguments:
    """TRL's keys that must fit together, with TRL's defaults; checked before anything is loaded."""

    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    steps_per_generation: int | None = None
    generation_batch_size: int | None = None
    num_generations: int = 8


def main() -> None:
    started = time.time()
    config = load()
    args, model_args, stage = config.parse(GRPOArguments), config.parse(ModelConfig), config.parse(StageArguments)
    run_dir = config.output_dir(stage)
    entries = reward_entries(args, config)
    if args.control:
        entries, run_dir = control_entries(args.control), run_dir / f"control_{args.control}"
    _, weights = rewards.build(entries)  # whether they can be built is known now; the prefix is once the tokenizer is loaded
    models.check_model("model_name_or_path", model_args.model_name_or_path)
    check_batch(config.parse(BatchArguments), int(os.environ.get("WORLD_SIZE", "1")))
    if not config.print_config:
        questions = data.load_questions(args, args.dataset_train_split, args.max_train_samples)

    from trl import GRPOConfig, get_peft_config, get_quantization_config

    training_args = config.parse_training(GRPOConfig, output_dir=str(run_dir / "policy"), reward_weights=weights)
    config.print_and_exit(args, model_args, training_args)
    model_args.dtype = models.dtype_of(model_args)

    from recipes.core.trainer import RolloutGRPOTrainer
    from recipes.core.training import TimeLimit, train

    tokenizer = prompts.load_tokenizer(model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision)
    functions, _ = rewards.build(entries, prefix=prompts.completion_prefix(tokenizer))
    questions = data.drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    held_out = None
    if training_args.eval_strategy != "no":
        held_out = data.load_questions(args, args.dataset_test_split, args.max_eval_samples)
        held_out = data.drop_long_prompts(held_out, tokenizer, args.max_prompt_length)

    policy_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {"dataset": manifest.fingerprint(questions), "model": manifest.model_sha256(model_args.model_name_or_path)},
    }
    with training_args.main_process_first(desc="looking for a checkpoint"):
        checkpoint = resume.checkpoint(policy_dir, made_of, training_args.resume_from_checkpoint)
    training_args.model_init_kwargs = models.load_kwargs(model_args) | (training_args.model_init_kwargs or {})
    trainer = RolloutGRPOTrainer(
        model=model_args.model_name_or_path,
        reward_funcs=functions,
        args=training_args,
        train_dataset=questions,
        eval_dataset=held_out,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        rollouts_dir=run_dir / "rollouts",
    )
    if trainer.is_world_process_zero():
        done = int(Path(checkpoint).name.partition("-")[2]) if checkpoint else 0
        for file in (run_dir / "rollouts").glob("*.jsonl"):  # the steps after the checkpoint are run again
            jsonl.keep(file, lambda row: row["step"] < done)
    if args.max_seconds is not None:
        trainer.add_callback(TimeLimit(args.max_seconds))
    train(trainer, "grpo", made_of, checkpoint, started)
    manifest.say("grpo", f"{len(questions)} questions of {args.dataset_name}", f"{policy_dir} and {run_dir}/rollouts", started)


def load(argv: list[str] | None = None) -> configuration.Config:
    """The stage's configuration, keys checked."""
    return configuration.load("grpo", GRPOArguments, ModelConfig, StageArguments, training_arguments="GRPOConfig", argv=argv)


def reward_entries(args: GRPOArguments, config: configuration.Config) -> list[Any]:
    """The recipe's `rewards`, or TRL's `reward_funcs` and `reward_weights` in the same form."""
    entries = configuration.parse_list("rewards", args.rewards, config.source)
    if entries and args.reward_funcs:
        raise UserError(f"{config.source}: `rewards` and `reward_funcs` say the same thing; keep one of them")
    if entries and config.given("reward_weights"):
        raise UserError(f"{config.source}: with `rewards`, write each weight in its own entry instead of `reward_weights`")
    if args.reward_funcs:
        weights = config.parse(WeightArguments).reward_weights or [1.0] * len(args.reward_funcs)
        if len(weights) != len(args.reward_funcs):
            raise UserError(f"{config.source}: {len(args.reward_funcs)} reward_funcs but {len(weights)} reward_weights")
        names = [f"trl.rewards:{name}" if name in TRL_REWARDS else name for name in args.reward_funcs]
        return [{"name": name, "weight": weight} for name, weight in zip(names, weights, strict=True)]
    if not entries:
        raise UserError(f"{config.source}: `rewards` must be a list such as [{{name: accuracy, weight: 1.0}}], is {entries!r}")
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


def check_batch(args: BatchArguments, processes: int) -> None:
    """Raises `UserError` with the nearest combinations that work if the batch does not hold whole groups."""
    per_step = args.per_device_train_batch_size * processes
    batch = args.generation_batch_size or per_step * (args.steps_per_generation or args.gradient_accumulation_steps)
    if args.num_generations < 2:
        raise UserError(f"num_generations is {args.num_generations}; GRPO compares completions of one question: write 2 or more")
    if batch % per_step:
        raise UserError(f"generation_batch_size {batch} is not a multiple of per_device_train_batch_size x processes = {per_step}")
    if batch % args.num_generations:
        divisors = [n for n in range(2, batch + 1) if batch % n == 0]
        near = sorted(divisors, key=lambda n: abs(n - args.num_generations))[:3]
        raise UserError(
            f"num_generations {args.num_generations} does not divide the batch of {batch} completions "
            f"(per_device_train_batch_size {args.per_device_train_batch_size} x processes {processes} x "
            f"{batch // per_step} steps). Write num_generations: {' or '.join(map(str, sorted(near)))}, "
            f"or a batch that is a multiple of {args.num_generations}"
        )


if __name__ == "__main__":
    run(main)
