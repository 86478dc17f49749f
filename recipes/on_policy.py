"""On-policy distillation: the student answers, and the teacher's probabilities teach it.

    accelerate launch recipes/on_policy.py --config recipes/arithmetic/on_policy.yaml [--key value]

Reads    questions, and a teacher (policy/ of the run by default)
Writes   outputs/<recipe>/student/
Resumes  from the last intact checkpoint when the same command is run again

Generalised knowledge distillation (arXiv 2306.13649), by TRL's DistillationTrainer; see also
"On-Policy Distillation" (Thinking Machines Lab, 2025,
https://thinkingmachines.ai/blog/on-policy-distillation). It reads no traces and scores no answers.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

from recipes.core.config import Config, RunArguments, StageSpec, load_config
from recipes.core.data import (
    DataArguments,
    drop_long_prompts,
    load_eval_questions,
    load_questions,
    source_name,
)
from recipes.core.models import configure_model, load_model, weight_dtype
from recipes.core.preflight import (
    check_completion_fits,
    check_model_folder,
    check_model_path,
    check_one_step,
    fail_fast,
)
from recipes.core.preflight.teacher import check_teacher
from recipes.core.prompts import load_tokenizer
from recipes.core.runs import ResumeArguments, TrainingRun, follow_policy, starting_model
from recipes.core.runtime.entrypoint import run_stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl import DistillationConfig


@dataclass
class TeacherArguments:
    """TRL's key for the teacher, read before TRL's trainers are imported.

    By default the teacher is the policy of the run.
    """

    teacher_model_name_or_path: str | None = None


@dataclass
class OnPolicyArguments(DataArguments, TeacherArguments, ResumeArguments):
    """Keys of this stage; recipes/defaults/on_policy.yaml explains each."""


STAGE = StageSpec(
    name="on_policy",
    arguments=(OnPolicyArguments, ModelConfig, RunArguments),
    trl_config="DistillationConfig",
    artifact="student",
)


def main() -> None:
    config = load_config(STAGE)
    follow_policy(config)
    args = config.parse(OnPolicyArguments)
    model_args = config.parse(ModelConfig)

    # These lines find mistakes within a second: paths of both models, an unreadable dataset.
    fail_fast(config)
    teacher_name = teacher_path(config)
    questions = load_questions(
        args, args.dataset_train_split, args.max_train_samples, needs_answer=False
    )

    # From here on torch is needed, and importing it takes seconds.
    from trl import get_peft_config, get_quantization_config

    from recipes.core.training import RecipeDistillationTrainer, train

    base_model = starting_model(config, model_args)

    # The teacher is loaded like the student, but with a revision and a dtype of its own: it only
    # answers, and configure_model chooses a dtype for training.
    training_args = config.parse_training()
    teacher_args = replace(
        model_args,
        model_revision=training_args.teacher_model_revision or "main",
        dtype=weight_dtype(model_args),
    )
    configure_model(training_args, model_args)

    # Data: a row is a question and the prompt as chat messages. Both models read the same tokens.
    tokenizer = load_tokenizer(base_model, args.chat_template, revision=model_args.model_revision)
    check_teacher(teacher_name, teacher_args, model_args, tokenizer)
    questions = drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    eval_questions = load_eval_questions(args, training_args, tokenizer, needs_answer=False)
    check_completion_fits(model_args, questions, training_args.max_completion_length)
    check_one_step(len(questions), step_size(training_args), num_generations=1)

    # The run: its folder, its provenance, and the checkpoint that it resumes from, if any.
    inputs = {"dataset": questions, "teacher": teacher_name, "model": base_model}
    run = TrainingRun.open(config, training_args, inputs)
    if run.is_finished:
        return

    # Train with TRL's trainer. There is no memory estimate: it would not count the teacher.
    teacher = load_teacher(teacher_name, teacher_args, training_args)
    trainer = RecipeDistillationTrainer(
        model=base_model,
        teacher_model=teacher,
        args=training_args,
        train_dataset=questions,
        eval_dataset=eval_questions,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    train(trainer, run)
    read = f"{len(questions)} questions of {source_name(args)} and {teacher_name}"
    run.log_summary(read, wrote=str(run.folder))


def teacher_path(config: Config) -> str:
    """Folder or hub id of the teacher."""
    named = config.parse(TeacherArguments).teacher_model_name_or_path
    if named:
        return check_model_path("teacher_model_name_or_path", named)
    return check_model_folder("teacher_model_name_or_path", config.run_dir / "policy")


def step_size(training_args: "DistillationConfig") -> int:
    """Answers of one step, of all processes."""
    batch = training_args.train_batch_size * training_args.world_size
    return int(batch * training_args.gradient_accumulation_steps)


def load_teacher(
    name: str, teacher_args: ModelConfig, training_args: "DistillationConfig"
) -> "PreTrainedModel":
    """The teacher, its adapter merged, for a trainer that may be split over several GPUs."""
    from transformers.integrations import unset_hf_deepspeed_config

    # ZeRO-3 splits whatever is loaded under it, and no adapter can be merged into the parts: the
    # teacher is loaded whole, and the trainer splits it.
    unset_hf_deepspeed_config()
    kwargs: Any = training_args.teacher_model_init_kwargs or {}
    teacher = load_model(name, teacher_args, **kwargs)
    # The trainer's own models are split again.
    if training_args.deepspeed_plugin:
        training_args.deepspeed_plugin.set_deepspeed_weakref()
    training_args.teacher_model_init_kwargs = None  # TRL's, for a teacher that it loads itself
    return teacher


if __name__ == "__main__":
    run_stage(main)
