"""Distillation: a smaller student learns the teacher's traces by supervised fine-tuning.

    accelerate launch recipes/sft.py --config recipes/arithmetic/sft.yaml [--key value ...]

Reads `traces.jsonl` and a base model. Leaves, under outputs/<recipe>/, `student/`. The loss is on the
trace alone, not on the question. A trace that would not fit into `max_length` is left out and counted, never cut. The traces of a
few questions are held out, to see the loss on them. Started again, it goes on from the last checkpoint. With
`distillation: on_policy` it reads questions and a teacher instead, and leaves the same: core/on_policy.py.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ModelConfig, ScriptArguments

from recipes import on_policy
from recipes.core import files as jsonl
from recipes.core.config.config import Config, StageArguments, UserError
from recipes.core.data import questions as data
from recipes.core.distillation import trace_dataset as targets
from recipes.core.memory.plan import Plan, facts
from recipes.core.models import loading as models
from recipes.core.prompts import tokenizer as prompts
from recipes.core.runs import manifest, resume
from recipes.core.runtime.entrypoint import run

if TYPE_CHECKING:
    from trl import SFTConfig


@dataclass
class SFTArguments(ScriptArguments, on_policy.MethodArguments):
    """Keys of this stage that are not TRL's."""

    traces: str | None = field(default=None, metadata={"help": "File that `generate` left. Default: traces.jsonl of the run."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only the first so many traces."})
    held_out_traces: float = field(default=0.0, metadata={"help": "Share of the questions whose traces only measure the loss."})
    longest_first: bool = field(default=False, metadata={"help": "Begin with the longest traces."})
    chat_template: str | None = field(
        default=None, metadata={"help": "Path of a Jinja file. Default: the tokenizer's own, else r1_zero.jinja."}
    )


def main() -> None:
    started = time.time()
    config = on_policy.load(SFTArguments)
    if config.parse(on_policy.MethodArguments).distillation == "on_policy":
        on_policy.distil(config, started)
        return
    args, model_args, stage = config.parse(SFTArguments), config.parse(ModelConfig), config.parse(StageArguments)
    run_dir = config.output_dir(stage)
    models.check_model("model_name_or_path", model_args.model_name_or_path)
    if not config.print_config:
        source, rows = read_traces(args, run_dir)

    from trl import SFTConfig, get_peft_config, get_quantization_config

    training_args = config.parse_training(SFTConfig, output_dir=str(run_dir / "student"), **batching(config, model_args))
    config.print_and_exit(args, model_args, training_args)
    check_packing(training_args, model_args)
    models.check_memory_keys(training_args, model_args)
    model_args.dtype = models.training_dtype(model_args)

    from recipes.core.training.grpo_trainer import GuardedSFTTrainer
    from recipes.core.training.train import train

    tokenizer = prompts.load_tokenizer(model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision)
    tokenizer.padding_side = "right"
    traces = targets.drop_long_traces(rows, tokenizer, training_args.max_length)
    traces = traces.shuffle(seed=training_args.seed)  # transformers' sampler that sorts micro-batches has a seed of its own
    traces, held_out = targets.hold_out(traces, args.held_out_traces)
    if args.longest_first:
        traces = targets.longest_first(traces, tokenizer, training_args)
    if held_out is None:
        training_args.eval_strategy = "no"
    student_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {"traces": manifest.rows_sha256(rows), "model": manifest.model_sha256(model_args.model_name_or_path)},
        "batch": {"processes": training_args.world_size},
    }
    checkpoint = resume.checkpoint(student_dir, made_of, training_args.resume_from_checkpoint, args.resume_anyway)
    training_args.model_init_kwargs = models.training_kwargs(model_args) | (training_args.model_init_kwargs or {})
    trainer = GuardedSFTTrainer(
        model=model_args.model_name_or_path,
        args=training_args,
        train_dataset=traces,
        eval_dataset=held_out,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    tokenized: Any = trainer.train_dataset
    targets.check_targets(tokenized[0], traces if training_args.packing else [traces[0]], tokenizer)

    def plan() -> Plan | None:
        longest = max(targets.trace_lengths(traces, tokenizer))
        return facts(models.config_of(trainer), model_args, training_args, trace_length=longest)

    train(trainer, "sft", made_of, checkpoint, started, plan=plan)
    manifest.say("sft", f"{len(traces)} traces of {source}", str(student_dir), started)


def batching(config: Config, model_args: ModelConfig) -> dict[str, Any]:
    """How traces of uneven length share a batch, unless the configuration says it: packed one after the other where the attention
    keeps them apart, which is flash attention; else each step's random traces are sorted into micro-batches by length, so that
    little is padded. (Whole steps of about one length, `group_by_length`, learn more slowly: benchmarks/bench_sft.py.)"""
    if any(config.given(key) for key in ("packing", "padding_free", "train_sampling_strategy")):
        return {}
    if "flash" in (model_args.attn_implementation or ""):
        return {"packing": True}
    return {"train_sampling_strategy": "batch_rebalance"}


def check_packing(training_args: "SFTConfig", model_args: ModelConfig) -> None:
    if (training_args.packing or training_args.padding_free) and "flash" not in (model_args.attn_implementation or ""):
        raise UserError(
            "packing, padding_free: they need flash attention, which keeps the traces of a row apart; write "
            f"`attn_implementation: flash_attention_2` (is {model_args.attn_implementation!r}), or leave them out"
        )


def read_traces(args: SFTArguments, run_dir: Path) -> tuple[str, list[dict[str, Any]]]:
    """Where the traces come from, and rows of `prompt` and `completion` (both messages).

    `dataset_name` may name a dataset of TRL's prompt-completion type to learn instead; one that has no `completion` column
    is taken as the questions that the traces answer.
    """
    if args.dataset_name:
        dataset = data.load_split(args, args.dataset_train_split)
        if {"prompt", "completion"} <= set(dataset.column_names):
            rows = [{"prompt": row["prompt"], "completion": row["completion"]} for row in dataset]
            return args.dataset_name, rows[: args.max_train_samples]
    file = Path(args.traces or run_dir / "traces.jsonl")
    if not file.is_file():
        raise UserError(f"traces: there is no file {str(file)!r}; run recipes/generate.py first, or name one")
    rows = jsonl.read(file)
    if not rows:
        raise UserError(f"{file}: holds no rows, so there is nothing to learn")
    return str(file), [
        {"prompt": row["prompt"], "completion": [{"role": "assistant", "content": row["completion"]}]}
        for row in rows[: args.max_train_samples]
    ]


if __name__ == "__main__":
    run(main)
