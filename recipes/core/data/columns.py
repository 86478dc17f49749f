"""The columns of the questions: ours are put in place of others, and those of TRL are left out."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

# Names that TRL's trainers use for something else: arguments of rewards, pictures for the model,
# tools. A dataset's own column of such a name would take its place, or end the run.
TRL_COLUMNS = frozenset(
    {
        "prompts",
        "completion",
        "completions",
        "completion_ids",
        "trainer_state",
        "log_extra",
        "log_metric",
        "environment",
        "environments",
        "image",
        "images",
        "tools",
        "self",  # the first argument of a reward that is an object
    }
)


def replace_columns(dataset: "Dataset", ours: Mapping[str, list[Any]], source: str) -> "Dataset":
    """The rows with our columns, and with all others whose names are free."""
    from datasets import Dataset, Value, concatenate_datasets

    # Say what is left out: a reward may have been meant to see it.
    left_out = sorted(TRL_COLUMNS.intersection(dataset.column_names))
    if left_out:
        logger.warning(
            "%s: TRL uses the names of these columns for something else, so they are left out: %s",
            source,
            ", ".join(left_out),
        )
    replaced = [name for name in dataset.column_names if name in ours]
    others = dataset.remove_columns([*left_out, *replaced])

    # Messages of one conversation may have different keys.
    added = Dataset.from_dict(dict(ours), on_mixed_types="use_json")
    for name, feature in added.features.items():
        if feature == Value("null"):  # no row has an answer
            added = added.cast_column(name, Value("string"))
    if not others.column_names:
        return added
    return concatenate_datasets([others, added], axis=1)
