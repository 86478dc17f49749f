"""Questions with answers, from a hub id, a folder, a file or a function: always the columns `question` and `answer`.

One row of what `load_questions` returns, here from GSM8K:

    {"question": "Natalia sold clips to 48 of her friends ...", "answer": "72",
     "prompt": [{"role": "system", "content": "A conversation ..."}, {"role": "user", "content": "Natalia sold ..."}]}

All other columns of the dataset stay, so that a reward can use them.
"""

import importlib
import logging
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trl import ScriptArguments

from recipes.core.config.config import parse_list
from recipes.core.config.keys import UserError, check_key

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


@dataclass
class DataArguments(ScriptArguments):
    """Keys that say which questions are asked, and how (besides TRL's `dataset_name`, `dataset_train_split` ...)."""

    question_column: str | None = field(default=None, metadata={"help": "Default: `question`, or TRL's `prompt`."})
    answer_column: str | None = field(default=None, metadata={"help": "Default: `answer`, or TRL's `solution`."})
    answer_pattern: str | None = field(
        default=None, metadata={"help": "Regular expression with one group that finds the answer, such as '####\\s*(.+)'."}
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only the first so many training questions."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use only the first so many held-out questions."})
    max_prompt_length: int | None = field(default=None, metadata={"help": "Leave out longer prompts, in tokens."})
    system_prompt: str | None = field(default=None, metadata={"help": "Default: DeepSeek-R1-Zero's. Empty: none."})
    chat_template: str | None = field(
        default=None, metadata={"help": "Path of a Jinja file. Default: the tokenizer's own, else r1_zero.jinja."}
    )


@dataclass
class EvaluationArguments(DataArguments):
    """The same, for a stage that has to do with questions for evaluation."""

    eval_sets: list | str | None = field(  # type: ignore[type-arg]
        default=None, metadata={"help": "More sets: entries of a name and the keys in which each differs from the held-out one."}
    )


Evaluation = TypeVar("Evaluation", bound=EvaluationArguments)


def evaluation_sets(args: Evaluation, source: str) -> dict[str, Evaluation]:
    """The arguments of each set of questions for evaluation, by name; the first is `held_out`.

    An entry of `eval_sets` is, for example, `{name: train, dataset_test_split: train, max_eval_samples: 500}`. Raises `UserError`
    for an entry that says nothing or what no one knows.
    """
    known = {f.name for f in fields(DataArguments)} - {"chat_template", "dataset_train_split", "max_train_samples"}
    sets = {"held_out": args}
    for entry in parse_list("eval_sets", args.eval_sets, source):
        if not isinstance(entry, dict) or not re.fullmatch(r"\w[\w.-]*", str(entry.get("name", ""))) or entry["name"] in sets:
            raise UserError(f"{source}: `eval_sets`: an entry is `{{name: a new word, and keys of the data}}`, this is {entry!r}")
        for key in entry.keys() - {"name"}:
            check_key(key, known, f"{source}, `eval_sets`")
        sets[entry["name"]] = replace(args, **{key: value for key, value in entry.items() if key != "name"})
    return sets


def load_questions(args: DataArguments, split: str, max_samples: int | None = None) -> "Dataset":
    """The rows of `split` with `question` (str), `answer` (str) and `prompt` (messages).

    Rows whose answer `answer_pattern` does not find are left out, counted and said. Raises `UserError` naming the dataset, the
    column and what is there if nothing can be made of it.
    """
    from recipes.core.prompts.tokenizer import to_messages

    name = args.dataset_name
    if not name:
        raise UserError("dataset_name is not set; write a hub id, a folder, a file or package.module:function")
    dataset = load_split(args, split)
    question = _column(dataset, name, "question_column", args.question_column, ("question", "prompt"))
    answer = _column(dataset, name, "answer_column", args.answer_column, ("answer", "solution"))
    if max_samples is not None:
        dataset = dataset.select(range(min(max_samples, len(dataset))))
    pattern = _pattern(args.answer_pattern)

    def convert(row: dict[str, Any]) -> dict[str, Any]:
        found = pattern.search(str(row[answer])) if pattern else None
        gold = found[1].strip() if found else None if pattern or row[answer] is None else str(row[answer]).strip()
        messages = to_messages(row[question], args.system_prompt)
        return {"question": messages[-1]["content"], "answer": gold, "prompt": messages}

    total = len(dataset)
    dataset = dataset.map(convert, desc=f"reading {name}", keep_in_memory=True)
    dataset = dataset.filter(lambda gold: bool(gold), input_columns="answer", keep_in_memory=True)
    if len(dataset) == 0:
        why = f"answer_pattern {args.answer_pattern!r} matches none of the {total} answers" if pattern else "has no answer"
        raise UserError(f"{name}, split {split!r}, column {answer!r}: {why}" if total else f"{name}: split {split!r} is empty")
    if len(dataset) < total:
        logger.warning("%s: %d of %d rows have no answer in %r and are left out", name, total - len(dataset), total, answer)
    return dataset


def drop_long_prompts(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", max_prompt_length: int | None) -> "Dataset":
    """Leaves out rows whose rendered prompt is longer than `max_prompt_length` tokens, and says how many."""
    from recipes.core.prompts.tokenizer import render

    if max_prompt_length is None:
        return dataset
    kept = dataset.filter(
        lambda prompt: len(tokenizer(render(tokenizer, prompt), add_special_tokens=False)["input_ids"]) <= max_prompt_length,
        input_columns="prompt",
        desc="measuring prompts",
        keep_in_memory=True,
    )
    if len(kept) == 0:
        raise UserError(f"max_prompt_length: all {len(dataset)} prompts are longer than {max_prompt_length} tokens; raise it")
    if len(kept) < len(dataset):
        logger.warning(
            "max_prompt_length: %d of %d prompts are longer than %d tokens and are left out",
            len(dataset) - len(kept), len(dataset), max_prompt_length,
        )  # fmt: skip
    return kept


def prompt_lengths(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens of each rendered prompt."""
    from recipes.core.prompts.tokenizer import render

    return [len(tokenizer(render(tokenizer, prompt), add_special_tokens=False)["input_ids"]) for prompt in dataset["prompt"]]


def longest_first(dataset: "Dataset", lengths: list[int], count: int, seed: int | None) -> "Dataset":
    """The same rows, the `count` longest of them at the places that a sampler with this seed reads first; `None`: the places at the
    beginning. Which rows come later stays as random as it was.

    Such a sampler is one that reads in the order of torch.randperm: TRL's RepeatSampler, transformers' BatchRebalanceSampler.
    """
    import torch

    rows = list(range(len(dataset)))
    order = rows if seed is None else torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    where = list(rows)  # the place of each row
    for place, row in zip(order[:count], sorted(rows, key=lambda row: -lengths[row])[:count], strict=True):
        other, old = rows[place], where[row]
        rows[place], rows[old], where[row], where[other] = row, other, place, old
    return dataset.select(rows)


def load_split(args: ScriptArguments, split: str) -> "Dataset":
    """The rows of one split as they are. Raises `UserError` if the dataset or the split cannot be read."""
    import datasets

    name, path = args.dataset_name, Path(args.dataset_name or "")
    assert name
    datasets.disable_progress_bars()  # every read of a small file would draw one; the stages draw their own
    try:
        if ":" in name and not path.exists():
            return _from_function(name, split)
        if path.is_file():
            if path.suffix not in _READERS:
                raise UserError(f"{name}: is not one of {', '.join(_READERS)}")
            return datasets.load_dataset(_READERS[path.suffix], data_files={"train": name}, split=split)
        if path.is_dir():
            if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
                saved = datasets.load_from_disk(name)
                if isinstance(saved, datasets.Dataset):
                    saved = datasets.DatasetDict({"train": saved})
                return _split_of(saved, name, split)
            return datasets.load_dataset(name, split=split)  # `dataset_config` is a matter of the hub
        elif path.suffix in _READERS or name.startswith((".", "/")):
            raise UserError(f"dataset_name: there is no file or folder {name!r}")
        return datasets.load_dataset(name, args.dataset_config, split=split)
    except UserError:
        raise
    except Exception as error:
        # datasets raises a dozen types for unreadable files, unknown splits and an unreachable hub; each message is its own.
        raise UserError(f"dataset_name {name!r}, split {split!r}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"


def _from_function(name: str, split: str) -> "Dataset":
    module_name, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), function)()
    except (ImportError, AttributeError) as error:
        raise UserError(f"dataset_name: cannot import {name!r}: {error}") from error
    return _split_of(made, name, split)


def _split_of(splits: "dict[str, Dataset]", name: str, split: str) -> "Dataset":
    if split not in splits:
        raise UserError(f"{name}: there is no split {split!r}; there are: {', '.join(splits)}")
    return splits[split]


def _column(dataset: "Dataset", name: str, key: str, given: str | None, usual: tuple[str, ...]) -> str:
    for column in [given] if given else usual:
        if column in dataset.column_names:
            return column
    raise UserError(
        f"{name}: there is no column {given or usual[0]!r}; there are: {', '.join(dataset.column_names)}. Write `{key}`"
    )


def _pattern(pattern: str | None) -> re.Pattern[str] | None:
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise UserError(f"answer_pattern {pattern!r} is not a regular expression: {error}") from error
    if compiled and compiled.groups != 1:
        raise UserError(f"answer_pattern {pattern!r} must have one group, has {compiled.groups}")
    return compiled
