"""Samples follow the model's distribution and the seed, and know whether the model ended them."""

import pytest
import torch

from recipes.core.generation.sampling import SamplingArguments, batches, sample_completions

GREEDY = SamplingArguments(max_completion_length=60, temperature=0.0)


def test_sampled_tokens_follow_the_models_distribution(model, tokenizer):
    count = 4000
    args = SamplingArguments(count, 1, temperature=0.7, top_k=5)
    completions = sample_completions(model, tokenizer, ["12*3+4="], args, seed=1)

    with torch.inference_mode():
        logits = model(**tokenizer(["12*3+4="], return_tensors="pt")).logits[0, -1] / 0.7
    top = logits.where(logits >= logits.topk(5).values[-1], -torch.inf)
    for token, probability in enumerate(torch.softmax(top, -1).tolist()):
        text = tokenizer.decode([token], skip_special_tokens=True)
        frequency = sum(one.text == text for one in completions) / count
        assert frequency == pytest.approx(probability, abs=0.03)


def test_the_same_seed_samples_the_same_completions_and_another_seed_others(model, tokenizer):
    prompts = ["23*7+5=", "9*9+9=", "40*2+1="] * 4
    args = SamplingArguments(max_completion_length=60)
    first = sample_completions(model, tokenizer, prompts, args, seed=1)
    assert sample_completions(model, tokenizer, prompts, args, seed=1) == first
    assert sample_completions(model, tokenizer, prompts, args, seed=2) != first


def test_greedy_completions_do_not_depend_on_the_seed(model, tokenizer):
    prompts = ["23*7+5=", "9*9+9="]
    first = sample_completions(model, tokenizer, prompts, GREEDY, seed=1)
    assert sample_completions(model, tokenizer, prompts, GREEDY, seed=2) == first


def test_a_completion_is_finished_only_if_the_model_ended_it(model, tokenizer):
    args = SamplingArguments(max_completion_length=72)
    whole = sample_completions(model, tokenizer, ["23*7+5="] * 32, args, seed=1)
    for one in whole:
        assert one.finished
        assert one.tokens == len(tokenizer(one.text)["input_ids"]) + 1  # and the end of the turn


def test_a_truncated_completion_is_as_long_as_the_limit(model, tokenizer):
    args = SamplingArguments(max_completion_length=2)
    truncated = sample_completions(model, tokenizer, ["23*7+5="] * 32, args, seed=1)
    assert {one.tokens for one in truncated} == {2}
    assert not any(one.finished for one in truncated)


def test_padding_beside_a_longer_prompt_changes_nothing(model, tokenizer):
    alone = sample_completions(model, tokenizer, ["23*7+5="], GREEDY, seed=1)
    prompts = ["23*7+5=", "23*7+5=23*7+5=23*7+5="]
    assert sample_completions(model, tokenizer, prompts, GREEDY, seed=1)[0] == alone[0]


def test_batches_cover_everything_once():
    assert [list(indices) for indices in batches(5, 2)] == [[0, 1], [2, 3], [4]]
    assert list(batches(0, 2)) == []
