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

from trl import ModelConfig

from recipes.core.config.config import Config
from recipes.core.config.stage import RunArguments
from recipes.core.distillation.trace_dataset import (
    TraceDatasetArguments,
    check_first_target,
    drop_long_traces,
    load_traces,
    longest_traces_first,
    split_by_question,
    trace_lengths,
)
from recipes.core.memory.plan import MemoryPlan
from recipes.core.models.loading import model_config, training_dtype, training_kwargs
from recipes.core.preflight.model import check_memory_keys, check_model_path
from recipes.core.preflight.packing import check_packing
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.core.runs.fingerprints import model_sha256, rows_sha256
from recipes.core.runs.manifest import log_summary
from recipes.core.runs.resume import find_resume_checkpoint
from recipes.core.runtime.entrypoint import run_stage
from recipes.on_policy import MethodArguments, distil, load

if TYPE_CHECKING:
    pass


@dataclass
class SFTArguments(TraceDatasetArguments, MethodArguments):
    """Keys of this stage that are not TRL's."""

    longest_first: bool = field(default=False, metadata={"help": "Begin with the longest traces."})
    chat_template: str | None = field(
        default=None,
        metadata={
            "help": "Path of a Jinja file. Default: the tokenizer's own, else r1_zero.jinja."
        },
    )


def main() -> None:
    started = time.time()
    config = load(SFTArguments)
    if config.parse(MethodArguments).distillation == "on_policy":
        distil(config, started)
        return
    args, model_args, stage = (
        config.parse(SFTArguments),
        config.parse(ModelConfig),
        config.parse(RunArguments),
    )
    run_dir = config.output_dir(stage)
    check_model_path("model_name_or_path", model_args.model_name_or_path)
    if not config.print_config:
        source, rows = load_traces(args, run_dir)

    from trl import SFTConfig, get_peft_config, get_quantization_config

    training_args = config.parse_training(
        SFTConfig, output_dir=str(run_dir / "student"), **batching(config, model_args)
    )
    config.print_and_exit(args, model_args, training_args)
    check_packing(training_args, model_args)
    check_memory_keys(training_args, model_args)
    model_args.dtype = training_dtype(model_args)

    from recipes.core.training.train import train
    from recipes.core.training.trainers import RecipeSFTTrainer

    tokenizer = load_tokenizer(
        model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision
    )
    tokenizer.padding_side = "right"
    traces = drop_long_traces(rows, tokenizer, training_args.max_length)
    traces = traces.shuffle(
        seed=training_args.seed
    )  # transformers' sampler that sorts micro-batches has a seed of its own
    traces, held_out = split_by_question(traces, args.held_out_traces)
    if args.longest_first:
        traces = longest_traces_first(traces, tokenizer, training_args)
    if held_out is None:
        training_args.eval_strategy = "no"
    student_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {
            "traces": rows_sha256(rows),
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
    trainer = RecipeSFTTrainer(
        model=model_args.model_name_or_path,
        args=training_args,
        train_dataset=traces,
        eval_dataset=held_out,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    tokenized: Any = trainer.train_dataset
    check_first_target(tokenized[0], traces if training_args.packing else [traces[0]], tokenizer)

    def plan() -> MemoryPlan | None:
        longest = max(trace_lengths(traces, tokenizer))
        return MemoryPlan.from_args(
            model_config(trainer), model_args, training_args, trace_length=longest
        )

    train(trainer, "sft", made_of, checkpoint, started, plan=plan)
    log_summary("sft", f"{len(traces)} traces of {source}", str(student_dir), started)


def batching(config: Config, model_args: ModelConfig) -> dict[str, Any]:
    """How traces of uneven length share a batch, unless the configuration says it: packed one after the other where the attention
    keeps them apart, which is flash attention; else each step's random traces are sorted into micro-batches by length, so that
    little is padded. (Whole steps of about one length, `group_by_length`, learn more slowly: benchmarks/bench_sft.py.)"""
    if any(config.given(key) for key in ("packing", "padding_free", "train_sampling_strategy")):
        return {}
    if "flash" in (model_args.attn_implementation or ""):
        return {"packing": True}
    return {"train_sampling_strategy": "batch_rebalance"}


if __name__ == "__main__":
    run_stage(main)
