"""The sets of questions that models are evaluated on: the held-out split and `eval_sets`."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from recipes.core.config.keys import check_key
from recipes.core.config.yaml_files import parse_list
from recipes.core.data.filters import drop_duplicates
from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

HELD_OUT = "held_out"  # name of the held-out split among the benchmarks
_NAME = re.compile(r"\w[\w.-]*")  # matches: train  math-500


@dataclass
class BenchmarkArguments(DataArguments):
    """Keys of a stage that reads the questions models are evaluated on."""

    eval_sets: list | str | None = None  # type: ignore[type-arg]


@dataclass(frozen=True)
class Benchmark:
    """One set of questions for evaluation, without duplicates."""

    name: str
    arguments: BenchmarkArguments
    questions: "Dataset"

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return str(self.arguments.dataset_name)


def load_benchmarks(
    args: BenchmarkArguments,
    source: str,
    instead_of_error: Callable[[str], AbstractContextManager[None]],
    needs_answer: bool = True,
) -> list[Benchmark]:
    """The sets of questions for evaluation that can be read; the first is `held_out`.

    Args:
        instead_of_error: what to do around reading the set of a name; may catch `UserError`.
        needs_answer: whether a question without a gold is left out.
    """
    benchmarks = []
    for name, arguments in benchmark_arguments(args, source).items():
        # One set that cannot be read does not keep the others from being scored.
        with instead_of_error(name):
            questions = load_questions(
                arguments, arguments.dataset_test_split, arguments.max_eval_samples, needs_answer
            )
            benchmarks.append(Benchmark(name, arguments, drop_duplicates(questions)))
    return benchmarks


def benchmark_arguments(args: BenchmarkArguments, source: str) -> dict[str, BenchmarkArguments]:
    """The arguments of each set of questions for evaluation, by name; the first is `held_out`.

    An entry of `eval_sets` is, for example,
    `{name: train, dataset_test_split: train, max_eval_samples: 500}`.

    Raises:
        UserError: an entry has no name of its own, or a key that is not one of the data.
    """
    # A set may differ in every key of the data, except those of the model and of training.
    allowed = {f.name for f in fields(DataArguments)}
    allowed -= {"chat_template", "dataset_train_split", "max_train_samples"}

    # The held-out split is described by the keys themselves; each entry overrides some of them.
    sets = {HELD_OUT: args}
    for entry in parse_list("eval_sets", args.eval_sets, source):
        name = _entry_name(entry)
        if name is None or name in sets:
            raise UserError(
                f"{source}: `eval_sets`: an entry is `{{name: a new word, and keys of the data}}`, "
                f"got {entry!r}"
            )
        changes = {key: value for key, value in entry.items() if key != "name"}
        for key in changes:
            check_key(key, allowed, f"{source}, `eval_sets`")
        sets[name] = replace(args, **changes)
    return sets


def _entry_name(entry: Any) -> str | None:
    """The name in an entry of `eval_sets`, if it can be that of a folder."""
    if not isinstance(entry, dict):
        return None
    # YAML reads a name of digits as a number.
    name = str(entry.get("name", ""))
    if not _NAME.fullmatch(name):
        return None
    return name
