"""Distillation: a smaller student learns the teacher's traces by supervised fine-tuning.

    accelerate launch recipes/sft.py --config recipes/arithmetic/sft.yaml [--key value ...]

Reads `traces.jsonl` and a base model. Leaves, under outputs/<recipe>/, `student/`. The loss is on the
trace alone, not on the question. A trace that would not fit into `max_length` is left out and counted, never cut. Started
again, it goes on from the last checkpoint. With `distillation: on_policy` it reads questions and a teacher instead, and
leaves the same: core/on_policy.py.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ModelConfig, ScriptArguments

from recipes.core import jsonl, manifest, models, on_policy, prompts, resume
from recipes.core.config import StageArguments, UserError
from recipes.core.stage import run

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass
class SFTArguments(ScriptArguments, on_policy.MethodArguments):
    """Keys of this stage that are not TRL's."""

    traces: str | None = field(default=None, metadata={"help": "File that `generate` left. Default: traces.jsonl of the run."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only the first so many traces."})
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

    from trl import SFTConfig, SFTTrainer, get_peft_config, get_quantization_config

    training_args = config.parse_training(SFTConfig, output_dir=str(run_dir / "student"))
    config.print_and_exit(args, model_args, training_args)
    model_args.dtype = models.dtype_of(model_args)

    from recipes.core.training import train

    tokenizer = prompts.load_tokenizer(model_args.model_name_or_path, args.chat_template, revision=model_args.model_revision)
    tokenizer.padding_side = "right"
    traces = drop_long_traces(rows, tokenizer, training_args.max_length)
    student_dir = Path(training_args.output_dir)
    made_of = {
        "config": config.resolve(args, model_args, training_args),
        "inputs": {"traces": manifest.rows_sha256(rows), "model": manifest.model_sha256(model_args.model_name_or_path)},
    }
    with training_args.main_process_first(desc="looking for a checkpoint"):
        checkpoint = resume.checkpoint(student_dir, made_of, training_args.resume_from_checkpoint)
    training_args.model_init_kwargs = models.load_kwargs(model_args) | (training_args.model_init_kwargs or {})
    trainer = SFTTrainer(
        model=model_args.model_name_or_path,
        args=training_args,
        train_dataset=traces,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    tokenized: Any = trainer.train_dataset
    check_targets(tokenized[0], traces[0], tokenizer)
    train(trainer, "sft", made_of, checkpoint, started)
    manifest.say("sft", f"{len(traces)} traces of {source}", str(student_dir), started)


def read_traces(args: SFTArguments, run_dir: Path) -> tuple[str, list[dict[str, Any]]]:
    """Where the traces come from, and rows of `prompt` and `completion` (both messages).

    `dataset_name` may name a dataset of TRL's prompt-completion type to learn instead; one that has no `completion` column
    is taken as the questions that the traces answer.
    """
    from recipes.core import data

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


def drop_long_traces(rows: list[dict[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_length: int | None) -> "Dataset":
    """The rows whose whole conversation fits into `max_length` tokens, as a dataset; says how many do not."""
    from datasets import Dataset

    def length(row: dict[str, Any]) -> int:
        if isinstance(row["prompt"], str):
            return len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1
        text = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    lengths = [length(row) for row in rows]
    fitting = [row for row, tokens in zip(rows, lengths, strict=True) if max_length is None or tokens <= max_length]
    if not fitting:
        raise UserError(
            f"max_length: all {len(rows)} traces are longer than {max_length} tokens (longest {max(lengths)}); raise it"
        )
    if len(fitting) < len(rows):
        logger.warning(
            "max_length: %d of %d traces are longer than %d tokens (longest %d) and are left out",
            len(rows) - len(fitting), len(rows), max_length, max(lengths),
        )  # fmt: skip
    return Dataset.from_list(fitting)


def check_targets(tokenized: dict[str, Any], row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raises `UserError` if what the loss sees of a row is not its trace and the end of the turn: some chat templates rewrite or
    drop what stands in think tags."""
    targets = [token for token in tokenized["labels"] if token != -100]
    text = str(tokenizer.decode([token for token in targets if token not in tokenizer.all_special_ids])).strip()
    trace = row["completion"] if isinstance(row["completion"], str) else row["completion"][-1]["content"]
    prompt = row["prompt"] if isinstance(row["prompt"], str) else prompts.render(tokenizer, row["prompt"])
    prefilled = "<think>" if prompt.rstrip().endswith("<think>") else ""
    if (prefilled + text).split() != trace.split() or tokenizer.eos_token_id not in targets:
        raise UserError(
            f"chat_template: it turns the trace {trace[:80]!r} into the target {text[:80]!r}; write `chat_template: r1_zero.jinja`"
        )


if __name__ == "__main__":
    run(main)
