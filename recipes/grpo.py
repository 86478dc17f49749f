"""Reinforcement learning with verifiable rewards: GRPO on a base model, with no SFT before it.

    accelerate launch recipes/grpo.py --config recipes/arithmetic/grpo.yaml [--key value]

Reads    questions with answers
Writes   outputs/<recipe>/policy/            LoRA adapter, or full weights with `use_peft: false`
         outputs/<recipe>/rollouts/*.jsonl   every completion with its rewards and its advantage
Resumes  from the last intact checkpoint when the same command is run again
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

from recipes.core.config import (
    RewardArguments,
    RunArguments,
    StageSpec,
    load_config,
    reward_entries,
    rewards_need_answer,
)
from recipes.core.data import (
    DataArguments,
    drop_long_prompts,
    load_eval_questions,
    load_questions,
    longest_first,
    source_name,
)
from recipes.core.models import configure_model
from recipes.core.preflight import check_completion_fits, check_one_step, fail_fast
from recipes.core.prompts import load_tokenizer, prefilled_text
from recipes.core.runs import ResumeArguments, TrainingRun, starting_model
from recipes.core.runtime.entrypoint import run_stage
from rewards import build_rewards
from rewards.trl_adapter import check_rows

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class GRPOArguments(DataArguments, RewardArguments, ResumeArguments):
    """Keys of this stage that TRL does not have; recipes/defaults/grpo.yaml explains each."""

    max_seconds: float | None = None
    longest_first: bool = False
    efficient: bool = False
    exact_flat_groups: bool = False


STAGE = StageSpec(
    name="grpo",
    arguments=(GRPOArguments, ModelConfig, RunArguments),
    trl_config="GRPOConfig",
    artifact="policy",
)


def main() -> None:
    config = load_config(STAGE)
    args = config.parse(GRPOArguments)
    model_args = config.parse(ModelConfig)

    # These lines find mistakes within a second: paths, rewards, a batch that does not divide.
    fail_fast(config)
    need_answer = rewards_need_answer(config)
    questions = load_questions(args, args.dataset_train_split, args.max_train_samples, need_answer)

    # From here on torch is needed, and importing it takes seconds.
    from trl import get_peft_config, get_quantization_config

    from recipes.core.training import RecipeGRPOTrainer, RolloutLog, train

    # Rewards: functions that score completions, and what each score is worth. The prefix is what
    # the prompts already have of the reply, such as <think>.
    base_model = starting_model(config, model_args)
    tokenizer = load_tokenizer(base_model, args.chat_template, revision=model_args.model_revision)
    prefix = prefilled_text(tokenizer, questions[0]["prompt"])
    reward_funcs, weights = build_rewards(reward_entries(config), prefix)

    # TRL's arguments, and in them how the model is loaded; final from here on.
    training_args = config.parse_training(reward_weights=weights)
    configure_model(training_args, model_args, args.max_prompt_length)

    # Data: a row is a question, its answer, and the prompt as chat messages.
    questions = drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    check_questions(questions, reward_funcs, model_args, training_args)
    eval_questions = load_eval_questions(args, training_args, tokenizer, need_answer)

    # The run: its folder, its provenance, and the checkpoint that it resumes from, if any.
    inputs = {"dataset": questions, "model": base_model}
    run = TrainingRun.open(config, training_args, inputs)
    if run.is_finished:
        return

    # With `longest_first` the first step needs the most memory: the longest prompts here, and
    # completions of full length in the trainer. The fingerprint is of the questions as they were.
    if args.longest_first:
        questions = longest_questions_first(questions, training_args)

    # Train with TRL's trainer, which here also logs every completion and stops at NaN.
    trainer = RecipeGRPOTrainer(
        model=base_model,
        reward_funcs=reward_funcs,
        args=training_args,
        train_dataset=questions,
        eval_dataset=eval_questions,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        rollout_log=RolloutLog(config.run_dir / "rollouts", run.resume_step),
        full_length_first=args.longest_first,
        efficient=args.efficient,
        exact_flat_groups=args.exact_flat_groups,
    )
    # The longest prompt is for the estimate that a run without enough memory ends with.
    train(trainer, run, max(questions["prompt_tokens"]), args.max_seconds)
    run.log_summary(f"{len(questions)} questions of {source_name(args)}", wrote=str(run.folder))


def check_questions(
    questions: "Dataset", reward_funcs: list[Any], model_args: ModelConfig, training_args: Any
) -> None:
    """Refuses questions that no reward can score, that are too long, or too few for a step."""
    check_rows(reward_funcs, questions)
    check_completion_fits(model_args, questions, training_args.max_completion_length)
    check_one_step(
        len(questions), training_args.generation_batch_size, training_args.num_generations
    )


def longest_questions_first(questions: "Dataset", training_args: Any) -> "Dataset":
    """An order of the questions from which TRL's shuffling sampler draws the longest first."""
    prompts_per_batch = training_args.generation_batch_size // training_args.num_generations
    seed = training_args.seed if training_args.shuffle_dataset else None
    return longest_first(questions, prompts_per_batch, seed)


if __name__ == "__main__":
    run_stage(main)
