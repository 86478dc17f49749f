"""On-policy distillation: the student answers the training questions itself, and the teacher's probabilities of every next token
teach it. The method of `sft` that `distillation: on_policy` chooses.

Generalised knowledge distillation (arXiv 2306.13649), by TRL's DistillationTrainer; see also "On-Policy Distillation" (Thinking
Machines Lab, 2025, https://thinkingmachines.ai/blog/on-policy-distillation). No traces are read, and no answer is judged.
"""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

from recipes.core.config import config as configuration
from recipes.core.config.config import Config, StageArguments, UserError
from recipes.core.config.keys import check_key
from recipes.core.data import questions as data
from recipes.core.models import loading as models
from recipes.core.prompts import tokenizer as prompts
from recipes.core.runs import manifest, resume

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

METHODS = ("traces", "on_policy")


@dataclass
class MethodArguments(resume.ResumeArguments):
    """The keys of both ways in which the student learns."""

    distillation: str = field(default="traces", metadata={"help": f"One of {', '.join(METHODS)}."})


@dataclass
class OnPolicyArguments(data.DataArguments, MethodArguments):
    """Keys of this method that are not TRL's: the questions, and TRL's key for the teacher, whose default is ours."""

    teacher_model_name_or_path: str | None = field(default=None, metadata={"help": "Default: policy/ of the run."})


def load(traces_arguments: type, argv: list[str] | None = None) -> Config:
    """The `sft` stage's configuration, its keys checked against the method that it chooses.

    A YAML serves both methods: the keys under `on_policy:` are those of this one and win over those outside, which are the keys
    of SFT. A key of the other method on the command line, or in the wrong place of the YAML, raises `UserError`.
    """
    config = configuration.read("sft", training_arguments="SFTConfig", argv=argv)
    values = dict(config.values)
    section = values.pop("on_policy", {})
    if not isinstance(section, dict):
        raise UserError(f"{config.source}: `on_policy` must hold `key: value` lines, holds {type(section).__name__}")
    chosen = replace(config, values=values).parse(MethodArguments).distillation
    if chosen not in METHODS:
        raise UserError(f"distillation is {chosen!r}; write one of {', '.join(METHODS)}")
    own = {
        "traces": configuration.known_keys(traces_arguments, ModelConfig, StageArguments, training_arguments="SFTConfig"),
        "on_policy": configuration.known_keys(
            OnPolicyArguments, ModelConfig, StageArguments, training_arguments="DistillationConfig"
        ),
    }
    # A YAML of `trl distillation` has no section: its keys are all this method's.
    outside = "traces" if section else chosen
    for keys, method, where, cure in (
        (values, outside, config.source, "write it under `on_policy:`" if outside == "traces" else "leave it out"),
        (section, "on_policy", f"{config.source}, on_policy", "write it outside `on_policy:`"),
        (config.command_line_keys(), chosen, "the command line", f"this is `distillation: {chosen}`"),
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
    args, model_args, stage = config.parse(OnPolicyArguments), config.parse(ModelConfig), config.parse(StageArguments)
    run_dir = config.output_dir(stage)
    teacher_name = args.teacher_model_name_or_path or str(run_dir / "policy")
    models.check_model("model_name_or_path", model_args.model_name_or_path)
    if not config.print_config:
        models.check_model("teacher_model_name_or_path", teacher_name)
        questions = data.load_questions(args, args.dataset_train_split, args.max_train_samples)

    from transformers.integrations import unset_hf_deepspeed_config
    from trl import DistillationConfig, get_peft_config, get_quantization_config

    training_args = config.parse_training(DistillationConfig, output_dir=str(run_dir / "student"))
    config.print_and_exit(args, model_args, training_args)
    models.check_memory_keys(training_args, model_args)
    model_args.dtype, dtype = models.training_dtype(model_args), models.dtype_of(model_args)
    teacher_args = replace(model_args, model_revision=training_args.teacher_model_revision or "main", dtype=dtype)

    from recipes.core.training.grpo_trainer import GuardedDistillationTrainer
    from recipes.core.training.train import train

    tokenizer = prompts.load_tokenizer(model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision)
    check_teacher(teacher_name, teacher_args, model_args, tokenizer)
    questions = data.drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    held_out = None
    if training_args.eval_strategy != "no":
        held_out = data.load_questions(args, args.dataset_test_split, args.max_eval_samples)
        held_out = data.drop_long_prompts(held_out, tokenizer, args.max_prompt_length)
    batch = training_args.train_batch_size * training_args.world_size * training_args.gradient_accumulation_steps
    if len(questions) < batch:  # TRL leaves out a batch that is not full, and would train on nothing
        raise UserError(f"per_device_train_batch_size: {len(questions)} questions do not fill one step of {batch}; lower it")

    student_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {
            "dataset": manifest.fingerprint(questions),
            "teacher": manifest.model_sha256(teacher_name),
            "model": manifest.model_sha256(model_args.model_name_or_path),
        },
        "batch": {"processes": training_args.world_size},
    }
    checkpoint = resume.checkpoint(student_dir, made_of, training_args.resume_from_checkpoint, args.resume_anyway)
    training_args.model_init_kwargs = models.training_kwargs(model_args) | (training_args.model_init_kwargs or {})
    # ZeRO-3 splits what is loaded under it, and no adapter can be merged into parts: the trainer splits the merged teacher.
    unset_hf_deepspeed_config()
    teacher = models.load_model(teacher_name, teacher_args, **(training_args.teacher_model_init_kwargs or {}))
    if training_args.deepspeed_plugin:
        training_args.deepspeed_plugin.set_deepspeed_weakref()
    training_args.teacher_model_init_kwargs = None  # TRL wants them only for a teacher that it loads itself
    trainer = GuardedDistillationTrainer(
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
    manifest.say("sft", f"{len(questions)} questions of {args.dataset_name} and {teacher_name}", str(student_dir), started)


def check_teacher(name: str, teacher_args: ModelConfig, model_args: ModelConfig, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raises `UserError` if the teacher's probabilities are not of the student's tokens; warns if it knows another prompt."""
    from transformers import AutoConfig

    student = str(model_args.model_name_or_path)
    key = "teacher_model_name_or_path"
    cure = "write a teacher of the student's family, or `distillation: traces`"
    known = prompts.load_tokenizer(name, key=key, revision=teacher_args.model_revision)
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    # One of the two may have tokens that the other lacks; but no number may mean two.
    for token, number in known.get_vocab().items():
        if tokens.get(number, token) != token:
            raise UserError(
                f"{key}: {name!r} has another vocabulary than {student!r} (token {number} is {token!r} there, "
                f"{tokens[number]!r} here); {cure}"
            )

    def outputs(model: str, revision: str) -> Any:
        config = AutoConfig.from_pretrained(models.adapter_base(model) or model, revision=revision)
        return config.get_text_config().vocab_size

    theirs, ours = outputs(name, teacher_args.model_revision), outputs(student, model_args.model_revision)
    if theirs != ours:
        raise UserError(f"{key}: {name!r} has {theirs} outputs, {student!r} has {ours}; {cure}")
    question = prompts.to_messages("?", None)
    if prompts.render(known, question) != prompts.render(tokenizer, question):
        logger.warning(
            "chat_template: the teacher %s comes with another template than the student is asked in; what it was not trained on, "
            "it may teach badly", name,
        )  # fmt: skip
