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
from recipes.core import files as jsonl
from recipes.core.config import config as configuration
from recipes.core.config.config import StageArguments, UserError
from recipes.core.data import questions as data
from recipes.core.launch import vllm_server
from recipes.core.memory.plan import Plan, facts
from recipes.core.models import loading as models
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.prompts import tokenizer as prompts
from recipes.core.runs import checkpoints, manifest, resume
from recipes.core.runtime.device import has_accelerator
from recipes.core.runtime.entrypoint import run

TRL_REWARDS = ("accuracy_reward", "reasoning_accuracy_reward", "think_format_reward")  # names that `trl grpo` knows


@dataclass
class GRPOArguments(data.DataArguments, resume.ResumeArguments):
    """Keys of this stage that are not TRL's."""

    rewards: list | str | None = field(  # type: ignore[type-arg]
        default=None, metadata={"help": "Entries {name, weight, parameters ...}; see rewards/__init__.py."}
    )
    reward_funcs: list[str] | None = field(default=None, metadata={"help": "TRL's form of `rewards`: names or dotted paths."})
    max_seconds: float | None = field(default=None, metadata={"help": "Stop after so many seconds of training, too."})
    longest_first: bool = field(default=False, metadata={"help": "Begin with the longest prompts and full-length completions."})
    control: str | None = field(default=None, metadata={"help": "Run with random_reward or format_only instead of `rewards`."})


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
    models.check_memory_keys(training_args, model_args)
    if training_args.use_vllm:
        vllm_server.check_keys("use_vllm", model_args)
        if training_args.vllm_mode == "server" and not has_accelerator():
            raise UserError("vllm_mode: server: TRL sends it the weights by NCCL, which needs a GPU; write vllm_mode: colocate")
    model_args.dtype = models.training_dtype(model_args)

    from recipes.core.training.grpo_trainer import RolloutGRPOTrainer
    from recipes.core.training.train import train

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
        "batch": {"processes": training_args.world_size},
    }
    checkpoint = resume.checkpoint(policy_dir, made_of, training_args.resume_from_checkpoint, args.resume_anyway)
    if args.longest_first:
        groups = training_args.generation_batch_size // training_args.num_generations
        lengths = data.prompt_lengths(questions, tokenizer)
        seed = training_args.seed if training_args.shuffle_dataset else None
        questions = data.longest_first(questions, lengths, groups, seed)
    training_args.model_init_kwargs = models.training_kwargs(model_args) | (training_args.model_init_kwargs or {})
    if training_args.use_vllm and args.max_prompt_length and not training_args.vllm_max_model_length:
        # vLLM keeps room for a whole sequence, by default as long as the model allows.
        longest = args.max_prompt_length + training_args.max_completion_length
        training_args.vllm_max_model_length = min(longest, models.max_length(model_args))
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
        full_length_first=args.longest_first,
    )
    if trainer.is_world_process_zero():
        done = checkpoints.step_of(Path(checkpoint)) if checkpoint else 0
        # What comes after the checkpoint is done again; at its own step the evaluation was before it.
        jsonl.keep(run_dir / "rollouts/train.jsonl", lambda row: row["step"] < done)
        jsonl.keep(run_dir / "rollouts/eval.jsonl", lambda row: bool(checkpoint) and row["step"] <= done)

    def plan() -> Plan | None:
        key = next((key for key in ("steps_per_generation", "generation_batch_size") if config.given(key)), None)
        longest = max(data.prompt_lengths(questions, tokenizer))
        return facts(models.config_of(trainer), model_args, training_args, longest, generation_key=key)

    train(trainer, "grpo", made_of, checkpoint, started, args.max_seconds, plan)
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


if __name__ == "__main__":
    run(main)
