"""Says when questions that a model was trained on would score it."""

import logging

from recipes.core.config import Config
from recipes.core.data.questions import DataArguments
from recipes.core.runs.follow_policy import trained_split

logger = logging.getLogger(__name__)


def warn_of_training_questions(config: Config) -> None:
    """Logs a warning if the held-out split is the one that the policy was trained on."""
    args = config.parse(DataArguments)
    trained = trained_split(config)
    held_out = (args.dataset_name, args.dataset_config, args.dataset_test_split)
    is_same_data = args.dataset_name and trained[:2] == held_out[:2]
    if is_same_data and _overlap(str(trained[2]), args.dataset_test_split):
        logger.warning(
            "dataset_test_split: %r has the questions of dataset_train_split (%r), so that scores "
            "tell what was memorised; hold some out, as in dataset_train_split: 'train[:90%%]' and "
            "dataset_test_split: 'train[90%%:]'",
            held_out[2],
            trained[2],
        )


def _overlap(one: str, other: str) -> bool:
    """Whether two splits are the same, or one of them is the whole of which the other is a slice.

    Two slices of one split are taken to be disjoint, as in train[:90%] and train[90%:].
    """
    if one == other:
        return True
    name, _, first_slice = one.partition("[")
    other_name, _, second_slice = other.partition("[")
    return name == other_name and not (first_slice and second_slice)
