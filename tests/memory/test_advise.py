"""Suggested settings keep the batch, fit into memory, and change as little as possible."""

from dataclasses import asdict

import pytest

from recipes.core.memory.advise import (
    MARGIN,
    Suggestion,
    find_fitting_plan,
    memory_advice,
    render_advice,
    setting_changes,
    smaller_plans,
)
from recipes.core.memory.estimate import estimate_parts, estimate_total
from recipes.core.preflight.batch import BatchArguments, check_batch
from tests.support.shapes import full_plan, lora_plan

GIB = 2**30


def changes_below(plan, larger):
    """The changes of the first plan that needs less than `larger` does."""
    budget = (estimate_total(larger) - 1) * MARGIN
    return setting_changes(plan, find_fitting_plan(plan, budget))


def test_a_plan_that_fits_is_not_changed():
    plan = full_plan(generation_rows=0)
    assert find_fitting_plan(plan, 1e12) == plan
    assert find_fitting_plan(plan, 1e9) is None


def test_smaller_batches_come_before_checkpointing_and_that_before_another_optimiser():
    sizes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 64}
    plan = full_plan(gradient_checkpointing=False, generation_rows=0)
    smallest = full_plan(gradient_checkpointing=False, generation_rows=0, **sizes)
    checkpointed = full_plan(gradient_checkpointing=True, generation_rows=0, **sizes)
    assert changes_below(plan, plan) == {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 16,
    }
    second = changes_below(plan, smallest)
    assert second["gradient_checkpointing"] is True and "optim" not in second
    assert changes_below(plan, checkpointed)["optim"] == "adamw_bnb_8bit"


def test_an_optimiser_in_eight_bits_needs_less():
    states = estimate_parts(full_plan(generation_rows=0))["optimiser"]
    quantised = full_plan(generation_rows=0, optim="adamw_bnb_8bit")
    assert estimate_parts(quantised)["optimiser"] < states


def test_the_optimiser_is_not_replaced_where_zero_shards_it():
    plan = full_plan(sharding="zero2", processes=2, generation_rows=0)
    assert {smaller.optim for smaller in smaller_plans(plan)} == {plan.optim}


@pytest.mark.parametrize(
    ("generation_key", "written", "processes"),
    [
        (None, {}, 1),
        ("steps_per_generation", {"steps_per_generation": 8}, 2),
        ("generation_batch_size", {"generation_batch_size": 128}, 2),
    ],
)
def test_every_suggestion_keeps_the_batch_and_whole_groups(generation_key, written, processes):
    plan = lora_plan(generation_key=generation_key, processes=processes)
    users = BatchArguments(
        per_device_train_batch_size=8, gradient_accumulation_steps=8, num_generations=8, **written
    )
    for smaller in smaller_plans(plan):
        assert smaller.per_device_train_batch_size * smaller.gradient_accumulation_steps == 64

        # The user's batch with the suggested keys written into it.
        changes = setting_changes(plan, smaller)
        batch_changes = {key: changes[key] for key in changes if key in asdict(users)}
        batch = BatchArguments(**asdict(users) | batch_changes)
        check_batch(batch, processes)

        steps = batch.steps_per_generation or batch.gradient_accumulation_steps
        default_rows = batch.per_device_train_batch_size * steps * processes
        rows = batch.generation_batch_size or default_rows
        assert rows == smaller.generation_rows * processes


def test_completions_are_generated_in_parts_when_the_cache_does_not_fit():
    plan = lora_plan(generation_rows=256, generation_key="steps_per_generation")
    # Rows, tokens, layers, keys and values, heads, elements of a head, bytes of bf16.
    assert estimate_parts(plan)["kv cache"] == 256 * 1280 * 28 * 2 * 8 * 128 * 2
    found = find_fitting_plan(plan, 0.9 * estimate_total(plan))
    assert setting_changes(plan, found) == {"steps_per_generation": 16}


def test_half_the_completions_are_written_as_steps_per_generation_by_default():
    changes = setting_changes(lora_plan(generation_rows=64), lora_plan(generation_rows=32))
    assert changes == {"steps_per_generation": 4}


def test_the_advice_is_a_sentence_with_keys_and_values():
    assert memory_advice(lora_plan(gradient_checkpointing=False), 24 * GIB) == (
        "the run needs about 36.9 GiB, but 24 GiB are available; write "
        "`per_device_train_batch_size: 4` and `gradient_accumulation_steps: 16` (about 20.4 GiB)"
    )


def test_a_run_that_was_estimated_to_fit_is_told_to_need_less():
    advice = memory_advice(lora_plan(generation_rows=0), 80 * GIB)
    assert advice.startswith("80 GiB were not enough, although the run was estimated to need")
    assert "write `per_device_train_batch_size: 4` and `gradient_accumulation_steps: 16`" in advice


def test_where_nothing_fits_the_advice_names_the_closest_attempt_and_larger_changes():
    advice = memory_advice(lora_plan(), 2e9)
    assert "no setting with the same batch fits, not even `per_device_train_batch_size:" in advice
    assert "`max_completion_length: 384`" in advice and "`load_in_4bit: true` (about" in advice
    advice = memory_advice(full_plan(sharding="ddp", processes=2), 2e9)
    assert "zero3 with 4 processes" in advice and "`use_peft: true`, a smaller model" in advice


def test_advice_without_any_smaller_plan_names_the_alternatives_alone():
    alternatives = [Suggestion("`use_peft: true`"), Suggestion("a smaller model")]
    assert render_advice(8 * GIB, 4 * GIB, None, alternatives) == (
        "the run needs about 8 GiB, but 4 GiB are available, and no setting with the same batch "
        "fits; what helps: `use_peft: true`, a smaller model"
    )
