"""Finds what SFT learns: the traces that `generate` wrote, or a dataset of TRL's forms."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from recipes.core.data.sources import SourceArguments, load_split, source_name
from recipes.core.distillation.sft_rows import take_sft_columns
from recipes.core.errors import UserError
from recipes.core.files import read_jsonl

if TYPE_CHECKING:
    from datasets import Dataset

# The default of TRL's `dataset_test_split`.
TRL_TEST_SPLIT = "test"


@dataclass
class TraceDatasetArguments(SourceArguments):
    """Keys that choose the traces to learn, and those that only measure the loss.

    `dataset_text_field` and `eval_strategy` are TRL's, with its defaults. Without a
    `dataset_test_split`, `held_out_traces` decides what measures the loss.
    """

    traces: str | None = None
    max_train_samples: int | None = None
    held_out_traces: float = 0.0
    dataset_test_split: str | None = None  # type: ignore[assignment]
    dataset_text_field: str = "text"
    eval_strategy: str = "no"


class LoadedTraces(NamedTuple):
    """Traces in one of TRL's forms, the name of where they come from, and its test split."""

    source: str
    rows: "Dataset"
    eval_rows: "Dataset | None" = None


def load_traces(args: TraceDatasetArguments, run_dir: Path) -> LoadedTraces:
    """The dataset that is named, or else the traces of the run.

    Raises:
        UserError: what is named cannot be learnt.
    """
    # A dataset that is named: nothing else is learnt instead of it.
    if args.dataset_name and args.traces:
        raise UserError("dataset_name and traces both name what to learn; write one of them")
    if args.dataset_name:
        source = source_name(args)
        rows = _limit(load_split(args, args.dataset_train_split), args)
        rows = take_sft_columns(rows, source, args.dataset_text_field)
        return LoadedTraces(source, rows, _load_test_split(args, source))

    # Traces, of this run or of another one.
    file = Path(args.traces or run_dir / "traces.jsonl").expanduser()
    if not file.is_file():
        raise UserError(
            f"traces: there is no file {str(file)!r}; run recipes/generate.py first, or name one"
        )
    # A kill may have torn the project's own file; a user's file is whole.
    rows = _limit(_read_own(file) if _is_own(file) else _read_handmade(args, file), args)
    return LoadedTraces(str(file), take_sft_columns(rows, str(file), args.dataset_text_field))


def _load_test_split(args: TraceDatasetArguments, source: str) -> "Dataset | None":
    """The split that measures the loss, if the configuration asks for one."""
    # What is written wins over held-out rows, and these over TRL's default.
    split = args.dataset_test_split
    if args.eval_strategy == "no" or (args.held_out_traces and not split):
        return None
    try:
        rows = load_split(args, split or TRL_TEST_SPLIT)
    except UserError:
        if split:
            raise
        # Nobody has named the split that TRL would take.
        return None
    return take_sft_columns(
        rows, f"{source}, split {split or TRL_TEST_SPLIT!r}", args.dataset_text_field
    )


def _limit(rows: "Dataset", args: TraceDatasetArguments) -> "Dataset":
    if args.max_train_samples is None:
        return rows
    return rows.select(range(min(args.max_train_samples, len(rows))))


def _is_own(file: Path) -> bool:
    """Whether `generate` wrote the file: it leaves a manifest beside it."""
    return file.with_suffix(".manifest.json").is_file()


def _read_own(file: Path) -> "Dataset":
    """What the student learns from; a line that a kill tore is left out."""
    from datasets import Dataset

    rows = []
    for sample in read_jsonl(file):
        reply = [{"role": "assistant", "content": sample["completion"]}]
        rows.append({"prompt": sample["prompt"], "completion": reply})
    return Dataset.from_list(rows)


def _read_handmade(args: TraceDatasetArguments, file: Path) -> "Dataset":
    """Every row of a user's file, of any kind that `dataset_name` may name."""
    return load_split(replace(args, dataset_name=str(file)), args.dataset_train_split)
