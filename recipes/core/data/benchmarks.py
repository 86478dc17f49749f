"""The sets of questions that a model is evaluated on: the held-out split and `eval_sets`."""

import re
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from recipes.core.config.keys import check_key
from recipes.core.config.yaml_files import parse_list
from recipes.core.data.questions import DataArguments
from recipes.core.errors import UserError


@dataclass
class BenchmarkArguments(DataArguments):
    """The same, for a stage that has to do with questions for evaluation."""

    eval_sets: list | str | None = field(  # type: ignore[type-arg]
        default=None,
        metadata={
            "help": "More sets: entries of a name and the keys in which each differs from the held-out one."
        },
    )


AnyBenchmark = TypeVar("AnyBenchmark", bound=BenchmarkArguments)


def benchmark_arguments(args: AnyBenchmark, source: str) -> dict[str, AnyBenchmark]:
    """The arguments of each set of questions for evaluation, by name; the first is `held_out`.

    An entry of `eval_sets` is, for example, `{name: train, dataset_test_split: train, max_eval_samples: 500}`. Raises `UserError`
    for an entry that says nothing or what no one knows.
    """
    known = {f.name for f in fields(DataArguments)} - {
        "chat_template",
        "dataset_train_split",
        "max_train_samples",
    }
    sets = {"held_out": args}
    for entry in parse_list("eval_sets", args.eval_sets, source):
        if (
            not isinstance(entry, dict)
            or not re.fullmatch(r"\w[\w.-]*", str(entry.get("name", "")))
            or entry["name"] in sets
        ):
            raise UserError(
                f"{source}: `eval_sets`: an entry is `{{name: a new word, and keys of the data}}`, this is {entry!r}"
            )
        for key in entry.keys() - {"name"}:
            check_key(key, known, f"{source}, `eval_sets`")
        sets[entry["name"]] = replace(
            args, **{key: value for key, value in entry.items() if key != "name"}
        )
    return sets
