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

from trl import ModelConfig

from recipes.core.config.config import Config, load_config
from recipes.core.config.rewards import RewardArguments, control_entries, reward_entries
from recipes.core.config.stage import RunArguments
from recipes.core.data.filters import drop_long_prompts
from recipes.core.data.order import longest_first, prompt_lengths
from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.errors import UserError
from recipes.core.files import filter_jsonl
from recipes.core.memory.plan import MemoryPlan
from recipes.core.models.loading import (
    max_model_length,
    model_config,
    training_dtype,
    training_kwargs,
)
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.preflight.model import check_memory_keys, check_model_path
from recipes.core.preflight.vllm import check_vllm
from recipes.core.prompts.messages import prefilled_text
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.core.runs.checkpoints import checkpoint_step
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import log_summary
from recipes.core.runs.resume import ResumeArguments, find_resume_checkpoint
from recipes.core.runtime.device import has_accelerator
from recipes.core.runtime.entrypoint import run_stage
from rewards import build_rewards


@dataclass
class GRPOArguments(DataArguments, RewardArguments, ResumeArguments):
    """Keys of this stage that are not TRL's."""

    max_seconds: float | None = field(
        default=None, metadata={"help": "Stop after so many seconds of training, too."}
    )
    longest_first: bool = field(
        default=False,
        metadata={"help": "Begin with the longest prompts and full-length completions."},
    )


def main() -> None:
    started = time.time()
    config = load()
    args, model_args, stage = (
        config.parse(GRPOArguments),
        config.parse(ModelConfig),
        config.parse(RunArguments),
    )
    run_dir = config.output_dir(stage)
    entries = reward_entries(args, config)
    if args.control:
        entries, run_dir = control_entries(args.control), run_dir / f"control_{args.control}"
    _, weights = build_rewards(
        entries
    )  # whether they can be built is known now; the prefix is once the tokenizer is loaded
    check_model_path("model_name_or_path", model_args.model_name_or_path)
    check_batch(config.parse(BatchArguments), int(os.environ.get("WORLD_SIZE", "1")))
    if not config.print_config:
        questions = load_questions(args, args.dataset_train_split, args.max_train_samples)

    from trl import GRPOConfig, get_peft_config, get_quantization_config

    training_args = config.parse_training(
        GRPOConfig, output_dir=str(run_dir / "policy"), reward_weights=weights
    )
    config.print_and_exit(args, model_args, training_args)
    check_memory_keys(training_args, model_args)
    if training_args.use_vllm:
        check_vllm("use_vllm", model_args)
        if training_args.vllm_mode == "server" and not has_accelerator():
            raise UserError(
                "vllm_mode: server: TRL sends it the weights by NCCL, which needs a GPU; write vllm_mode: colocate"
            )
    model_args.dtype = training_dtype(model_args)

    from recipes.core.training.grpo_trainer import RecipeGRPOTrainer
    from recipes.core.training.train import train

    tokenizer = load_tokenizer(
        model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision
    )
    functions, _ = build_rewards(entries, prefix=prefilled_text(tokenizer))
    questions = drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    held_out = None
    if training_args.eval_strategy != "no":
        held_out = load_questions(args, args.dataset_test_split, args.max_eval_samples)
        held_out = drop_long_prompts(held_out, tokenizer, args.max_prompt_length)

    policy_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {
            "dataset": dataset_fingerprint(questions),
            "model": model_sha256(model_args.model_name_or_path),
        },
        "batch": {"processes": training_args.world_size},
    }
    checkpoint = find_resume_checkpoint(
        policy_dir, made_of, training_args.resume_from_checkpoint, args.resume_anyway
    )
    if args.longest_first:
        groups = training_args.generation_batch_size // training_args.num_generations
        lengths = prompt_lengths(questions, tokenizer)
        seed = training_args.seed if training_args.shuffle_dataset else None
        questions = longest_first(questions, lengths, groups, seed)
    training_args.model_init_kwargs = training_kwargs(model_args) | (
        training_args.model_init_kwargs or {}
    )
    if (
        training_args.use_vllm
        and args.max_prompt_length
        and not training_args.vllm_max_model_length
    ):
        # vLLM keeps room for a whole sequence, by default as long as the model allows.
        longest = args.max_prompt_length + training_args.max_completion_length
        training_args.vllm_max_model_length = min(longest, max_model_length(model_args))
    trainer = RecipeGRPOTrainer(
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
        done = checkpoint_step(Path(checkpoint)) if checkpoint else 0
        # What comes after the checkpoint is done again; at its own step the evaluation was before it.
        filter_jsonl(run_dir / "rollouts/train.jsonl", lambda row: row["step"] < done)
        filter_jsonl(
            run_dir / "rollouts/eval.jsonl", lambda row: bool(checkpoint) and row["step"] <= done
        )

    def plan() -> MemoryPlan | None:
        key = next(
            (key for key in ("steps_per_generation", "generation_batch_size") if config.given(key)),
            None,
        )
        longest = max(prompt_lengths(questions, tokenizer))
        return MemoryPlan.from_args(
            model_config(trainer), model_args, training_args, longest, generation_key=key
        )

    train(trainer, "grpo", made_of, checkpoint, started, args.max_seconds, plan)
    log_summary(
        "grpo",
        f"{len(questions)} questions of {args.dataset_name}",
        f"{policy_dir} and {run_dir}/rollouts",
        started,
    )


def load(argv: list[str] | None = None) -> Config:
    """The stage's configuration, keys checked."""
    return load_config(
        "grpo", GRPOArguments, ModelConfig, RunArguments, training_arguments="GRPOConfig", argv=argv
    )


if __name__ == "__main__":
    run_stage(main)
