"""The longest rows come first in the order in which TRL's and transformers' samplers read."""

import pytest
from datasets import Dataset
from transformers.trainer_pt_utils import BatchRebalanceSampler
from trl.trainer.utils import RepeatSampler

from recipes.core.data.order import longest_first

LENGTHS = [(row * 37) % 101 for row in range(100)]  # no two are equal
LONGEST = sorted(LENGTHS)[-8:]


@pytest.fixture
def dataset():
    return Dataset.from_dict({"row": range(100), "length": LENGTHS})


@pytest.mark.parametrize("seed", [None, 7])
def test_grpo_samples_the_longest_prompts_first(dataset, seed):
    ordered = longest_first(dataset, 8, seed, column="length")
    sampler = RepeatSampler(
        ordered,
        mini_repeat_count=3,
        batch_size=8,
        repeat_count=2,
        shuffle=seed is not None,
        seed=seed,
    )
    first_batch = list(dict.fromkeys(list(sampler)[: 8 * 3]))
    assert sorted(ordered[first_batch]["length"]) == LONGEST


def test_sft_reads_the_longest_traces_in_the_first_step_of_both_processes(dataset):
    ordered = longest_first(dataset, 8, 42, column="length")
    first_step = []
    for rank in (0, 1):
        sampler = BatchRebalanceSampler(
            ordered["length"], effective_batch_size=8, dp_size=2, grad_accum=2, rank=rank
        )
        for batch in list(sampler)[:2]:
            first_step += batch
    assert sorted(ordered[first_step]["length"]) == LONGEST


@pytest.mark.parametrize("seed", [None, 7])
def test_no_row_is_lost_and_only_those_that_swap_places_move(dataset, seed):
    ordered = longest_first(dataset, 8, seed, column="length")
    assert sorted(ordered["row"]) == list(range(100))
    moved = [row for place, row in enumerate(ordered["row"]) if place != row]
    assert len(moved) <= 2 * 8


def test_all_rows_can_be_ordered(dataset):
    ordered = longest_first(dataset, 100, None, column="length")
    assert list(ordered["length"]) == sorted(LENGTHS, reverse=True)
