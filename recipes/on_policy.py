"""On-policy distillation: the student answers the training questions itself, and the teacher's probabilities of every next token
teach it. The method of `sft` that `distillation: on_policy` chooses.

Generalised knowledge distillation (arXiv 2306.13649), by TRL's DistillationTrainer; see also "On-Policy Distillation" (Thinking
Machines Lab, 2025, https://thinkingmachines.ai/blog/on-policy-distillation). No traces are read, and no answer is judged.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trl import ModelConfig

from recipes.core.config.config import Config, known_keys, read_config
from recipes.core.config.keys import check_key
from recipes.core.config.stage import RunArguments
from recipes.core.data.filters import drop_long_prompts
from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.errors import UserError
from recipes.core.models.loading import load_model, training_dtype, training_kwargs, weight_dtype
from recipes.core.preflight.model import check_memory_keys, check_model_path
from recipes.core.preflight.teacher import check_teacher
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import log_summary
from recipes.core.runs.resume import ResumeArguments, find_resume_checkpoint

if TYPE_CHECKING:
    pass


METHODS = ("traces", "on_policy")


@dataclass
class MethodArguments(ResumeArguments):
    """The keys of both ways in which the student learns."""

    distillation: str = field(default="traces", metadata={"help": f"One of {', '.join(METHODS)}."})


@dataclass
class OnPolicyArguments(DataArguments, MethodArguments):
    """Keys of this method that are not TRL's: the questions, and TRL's key for the teacher, whose default is ours."""

    teacher_model_name_or_path: str | None = field(
        default=None, metadata={"help": "Default: policy/ of the run."}
    )


def load(traces_arguments: type, argv: list[str] | None = None) -> Config:
    """The `sft` stage's configuration, its keys checked against the method that it chooses.

    A YAML serves both methods: the keys under `on_policy:` are those of this one and win over those outside, which are the keys
    of SFT. A key of the other method on the command line, or in the wrong place of the YAML, raises `UserError`.
    """
    config = read_config("sft", training_arguments="SFTConfig", argv=argv)
    values = dict(config.values)
    section = values.pop("on_policy", {})
    if not isinstance(section, dict):
        raise UserError(
            f"{config.source}: `on_policy` must hold `key: value` lines, holds {type(section).__name__}"
        )
    chosen = replace(config, values=values).parse(MethodArguments).distillation
    if chosen not in METHODS:
        raise UserError(f"distillation is {chosen!r}; write one of {', '.join(METHODS)}")
    own = {
        "traces": known_keys(
            traces_arguments, ModelConfig, RunArguments, training_arguments="SFTConfig"
        ),
        "on_policy": known_keys(
            OnPolicyArguments, ModelConfig, RunArguments, training_arguments="DistillationConfig"
        ),
    }
    # A YAML of `trl distillation` has no section: its keys are all this method's.
    outside = "traces" if section else chosen
    for keys, method, where, cure in (
        (
            values,
            outside,
            config.source,
            "write it under `on_policy:`" if outside == "traces" else "leave it out",
        ),
        (section, "on_policy", f"{config.source}, on_policy", "write it outside `on_policy:`"),
        (
            config.command_line_keys(),
            chosen,
            "the command line",
            f"this is `distillation: {chosen}`",
        ),
    ):
        other = METHODS[1 - METHODS.index(method)]
        for key in keys:
            if key in own[other] - own[method]:
                raise UserError(f"{where}: `{key}` is a key of `distillation: {other}`; {cure}")
            check_key(key, own[method], where)
    if chosen == "on_policy":
        values = {key: value for key, value in values.items() if key in own["on_policy"]} | section
    return replace(config, values=values)


def distil(config: Config, started: float) -> None:
    """Trains `student/` on its own answers to the training questions, as taught by the teacher.

    `started` is `time.time()` at the start of the stage. What cannot be meant raises `UserError` before anything is trained.
    """
    args, model_args, stage = (
        config.parse(OnPolicyArguments),
        config.parse(ModelConfig),
        config.parse(RunArguments),
    )
    run_dir = config.output_dir(stage)
    teacher_name = args.teacher_model_name_or_path or str(run_dir / "policy")
    check_model_path("model_name_or_path", model_args.model_name_or_path)
    if not config.print_config:
        check_model_path("teacher_model_name_or_path", teacher_name)
        questions = load_questions(args, args.dataset_train_split, args.max_train_samples)

    from transformers.integrations import unset_hf_deepspeed_config
    from trl import DistillationConfig, get_peft_config, get_quantization_config

    training_args = config.parse_training(DistillationConfig, output_dir=str(run_dir / "student"))
    config.print_and_exit(args, model_args, training_args)
    check_memory_keys(training_args, model_args)
    model_args.dtype, dtype = training_dtype(model_args), weight_dtype(model_args)
    teacher_args = replace(
        model_args, model_revision=training_args.teacher_model_revision or "main", dtype=dtype
    )

    from recipes.core.training.train import train
    from recipes.core.training.trainers import RecipeDistillationTrainer

    tokenizer = load_tokenizer(
        model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision
    )
    check_teacher(teacher_name, teacher_args, model_args, tokenizer)
    questions = drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    held_out = None
    if training_args.eval_strategy != "no":
        held_out = load_questions(args, args.dataset_test_split, args.max_eval_samples)
        held_out = drop_long_prompts(held_out, tokenizer, args.max_prompt_length)
    batch = (
        training_args.train_batch_size
        * training_args.world_size
        * training_args.gradient_accumulation_steps
    )
    if (
        len(questions) < batch
    ):  # TRL leaves out a batch that is not full, and would train on nothing
        raise UserError(
            f"per_device_train_batch_size: {len(questions)} questions do not fill one step of {batch}; lower it"
        )

    student_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {
            "dataset": dataset_fingerprint(questions),
            "teacher": model_sha256(teacher_name),
            "model": model_sha256(model_args.model_name_or_path),
        },
        "batch": {"processes": training_args.world_size},
    }
    checkpoint = find_resume_checkpoint(
        student_dir, made_of, training_args.resume_from_checkpoint, args.resume_anyway
    )
    training_args.model_init_kwargs = training_kwargs(model_args) | (
        training_args.model_init_kwargs or {}
    )
    # ZeRO-3 splits what is loaded under it, and no adapter can be merged into parts: the trainer splits the merged teacher.
    unset_hf_deepspeed_config()
    teacher = load_model(
        teacher_name, teacher_args, **(training_args.teacher_model_init_kwargs or {})
    )
    if training_args.deepspeed_plugin:
        training_args.deepspeed_plugin.set_deepspeed_weakref()
    training_args.teacher_model_init_kwargs = (
        None  # TRL wants them only for a teacher that it loads itself
    )
    trainer = RecipeDistillationTrainer(
        model=model_args.model_name_or_path,
        teacher_model=teacher,
        args=training_args,
        train_dataset=questions,
        eval_dataset=held_out,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    train(trainer, "sft", made_of, checkpoint, started)
    log_summary(
        "sft",
        f"{len(questions)} questions of {args.dataset_name} and {teacher_name}",
        str(student_dir),
        started,
    )
