"""Distillation: a smaller student learns the teacher's traces by supervised fine-tuning.

    accelerate launch recipes/sft.py --config recipes/arithmetic/sft.yaml [--key value]

Reads    outputs/<recipe>/traces.jsonl, or any dataset of the forms that TRL's SFTTrainer learns
Writes   outputs/<recipe>/student/
Resumes  from the last intact checkpoint when the same command is run again

The loss is on the trace alone, not on the question; of a dataset's conversations and texts it is on
what TRL says. A trace longer than `max_length` is left out and counted, never cut. The traces of a
few questions, or a dataset's test split, only measure the loss.
"""

from dataclasses import dataclass
from typing import Any

from trl import ModelConfig

from recipes.core.config import Config, RunArguments, StageSpec, load_config
from recipes.core.distillation import (
    TraceDatasetArguments,
    check_first_target,
    load_traces,
    longest_traces_first,
    prepare_traces,
)
from recipes.core.models import configure_model
from recipes.core.preflight import check_trace_fits, fail_fast
from recipes.core.prompts import load_tokenizer
from recipes.core.runs import ResumeArguments, TrainingRun, follow_policy, starting_model
from recipes.core.runtime.entrypoint import run_stage


@dataclass
class SFTArguments(TraceDatasetArguments, ResumeArguments):
    """Keys of this stage that TRL does not have; recipes/defaults/sft.yaml explains each."""

    chat_template: str | None = None
    longest_first: bool = False


STAGE = StageSpec(
    name="sft",
    arguments=(SFTArguments, ModelConfig, RunArguments),
    trl_config="SFTConfig",
    artifact="student",
)


def main() -> None:
    config = load_config(STAGE)
    follow_policy(config, keys=("chat_template",))
    args = config.parse(SFTArguments)
    model_args = config.parse(ModelConfig)

    # These lines find mistakes within a second: the model's path, packing, traces that are
    # missing, rows that cannot be learnt.
    fail_fast(config)
    loaded = load_traces(args, config.run_dir)

    # From here on torch is needed, and importing it takes seconds.
    from trl import get_peft_config, get_quantization_config

    from recipes.core.training import RecipeSFTTrainer, train

    base_model = starting_model(config, model_args)
    training_args = config.parse_training(**batching_by_length(config))
    configure_model(training_args, model_args)

    # Data: a row is a prompt and the trace that answers it, or another of TRL's forms. Traces are
    # padded on the right; the tokenizer is loaded for generation, which pads on the left.
    tokenizer = load_tokenizer(base_model, args.chat_template, revision=model_args.model_revision)
    tokenizer.padding_side = "right"
    traces, eval_traces, longest = prepare_traces(loaded, args, tokenizer, training_args)
    check_trace_fits(model_args, longest)
    if args.longest_first:  # the first step then needs the most memory
        traces = longest_traces_first(traces, training_args)

    # The run: its folder, its provenance, and the checkpoint that it resumes from, if any. The
    # fingerprint is of all traces that were read.
    inputs = {"traces": loaded.rows.to_list(), "model": base_model}
    run = TrainingRun.open(config, training_args, inputs)
    if run.is_finished:
        return

    # TRL's trainer.
    trainer = RecipeSFTTrainer(
        model=base_model,
        args=training_args,
        train_dataset=traces,
        eval_dataset=eval_traces,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )

    # TRL has tokenized the traces: the loss must cover exactly the first one, and so all of them.
    check_first_target(trainer, traces, tokenizer)

    # Train. The longest trace is for the estimate that a run without enough memory ends with.
    train(trainer, run, longest)
    run.log_summary(f"{len(traces)} traces of {loaded.source}", wrote=str(run.folder))


def batching_by_length(config: Config) -> dict[str, Any]:
    """How traces of uneven length share a batch, unless the configuration decides it.

    With flash attention, which keeps them apart, they are packed one after the other. Without it
    the random traces of each step are sorted into micro-batches by length (transformers'
    `batch_rebalance`), so that little is padded. Whole steps of similar length (`group_by_length`)
    learn more slowly: benchmarks/bench_sft.py.
    """
    keys = ("packing", "padding_free", "train_sampling_strategy")
    if any(config.is_set(key) for key in keys):
        return {}
    if "flash" in (config.parse(ModelConfig).attn_implementation or ""):
        return {"packing": True}
    return {"train_sampling_strategy": "batch_rebalance"}


if __name__ == "__main__":
    run_stage(main)
