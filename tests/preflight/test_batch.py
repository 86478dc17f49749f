"""A GRPO batch that does not divide into whole groups is refused, exactly where TRL refuses it."""

import pytest

from recipes.core.errors import UserError
from recipes.core.preflight.batch import BatchArguments, check_batch, check_one_step


@pytest.mark.parametrize(
    ("keys", "processes"),
    [
        ({}, 1),
        ({"per_device_train_batch_size": 4}, 2),  # half a group in each process
    ],
)
def test_batches_of_whole_groups_are_accepted(keys, processes):
    check_batch(BatchArguments(**keys), processes)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"per_device_train_batch_size": 4},
            "Write num_generations: 2 or 4, or a batch that is a multiple of 8",
        ),
        (
            {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 4},
            "4 or 6 or 12",
        ),
        ({"num_generations": 1}, "write 2 or more"),
        (
            {"generation_batch_size": 12},
            "is not a multiple of per_device_train_batch_size x processes = 8",
        ),
    ],
)
def test_batches_of_partial_groups_are_refused_with_the_nearest_that_work(keys, message):
    with pytest.raises(UserError, match=message):
        check_batch(BatchArguments(**keys), processes=1)


def accepts(check, *args, **kwargs):
    try:
        check(*args, **kwargs)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("size", "steps", "generations"),
    [(8, 1, 8), (4, 1, 8), (3, 4, 6), (3, 4, 8), (8, 2, 16), (5, 1, 3)],
)
def test_the_check_accepts_and_refuses_the_same_batches_as_trl(size, steps, generations):
    from trl import GRPOConfig

    keys = {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": steps,
        "num_generations": generations,
    }
    ours = accepts(check_batch, BatchArguments(**keys), processes=1)
    assert ours == accepts(GRPOConfig, use_cpu=True, bf16=False, **keys)


def test_questions_that_fill_no_step_are_refused_with_the_numbers():
    check_one_step(questions=8, batch=16, num_generations=2)
    with pytest.raises(UserError, match=r"needs 8 questions \(16 .* 2 per .*\), and there are 7"):
        check_one_step(questions=7, batch=16, num_generations=2)
