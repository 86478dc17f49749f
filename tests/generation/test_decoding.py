"""Our sampling against transformers' own."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from recipes.core.generation.sampling import SamplingArguments, batches, sample_completions

BASE = "recipes/arithmetic/models/base"
PROMPTS = [
    "12*3+4=",
    "7=",
    "98*7+6=",
    "<think>",
    "55*5+5=",
    "23*4=92 23*4",
]  # of many lengths, and so are their answers


@pytest.fixture(scope="module")
def base():
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval(), tokenizer


def plain(model, tokenizer, prompts, length):
    """Transformers' greedy completions, without padding."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    output = model.generate(**inputs, max_new_tokens=length, do_sample=False)
    return [
        tokenizer.decode(row, skip_special_tokens=True)
        for row in output[:, inputs["input_ids"].shape[1] :]
    ]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("length", [1, 5, 72])
def test_greedy_completions_are_those_of_generate_however_many_and_however_long(
    base, samples, length
):
    ours = sample_completions(
        *base, PROMPTS, SamplingArguments(samples, length, temperature=0.0), seed=1
    )
    assert [one.text for one in ours] == [
        text for text in plain(*base, PROMPTS, length) for _ in range(samples)
    ]
    assert all(one.tokens <= length and (one.finished or one.tokens == length) for one in ours)


# Caches of other kinds than a plain one: sliding windows, recurrent states, both.
LAYERS = ["sliding_attention", "full_attention"]
ARCHITECTURES = {
    "mistral": {"sliding_window": 8},
    "gemma3_text": {"sliding_window": 8, "tie_word_embeddings": False, "head_dim": 16, "layer_types": LAYERS},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"], "head_dim": 16, "num_experts": 2,
                   "num_experts_per_tok": 1, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
                   "linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
                   "linear_value_head_dim": 16},
}  # fmt: skip


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_models_with_other_caches_lose_nothing_when_rows_leave(kind, base):
    from transformers import AutoConfig

    tokenizer = base[1]
    set_seed(0)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    ends = [
        tokenizer.eos_token_id,
        *tokenizer.convert_tokens_to_ids(["1", "2", "3"]),
    ]  # a random model seldom ends by itself
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": ends, "bos_token_id": None}
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        initializer_range=0.5,
        **sizes,
        **special,
        **ARCHITECTURES[kind],
    )
    model = AutoModelForCausalLM.from_config(config).float().eval()
    prompts = [f"{n}*{n % 9}+1=" for n in range(10, 42)]
    expected = plain(model, tokenizer, prompts, 40)
    assert len({len(text) for text in expected}) > 3  # they leave at different times
    ours = sample_completions(
        model, tokenizer, prompts, SamplingArguments(2, 40, temperature=0.0), seed=1
    )
    assert [one.text for one in ours] == [text for text in expected for _ in range(2)]


def test_a_model_without_a_cache_of_keys_and_values_is_sampled_by_generate_itself(base):
    from transformers import MambaConfig, MambaForCausalLM

    tokenizer = base[1]
    set_seed(0)
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    config = MambaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, state_size=4, **special
    )
    model = MambaForCausalLM(config).eval()
    ours = sample_completions(
        model, tokenizer, ["12*3+4=", "98*7+6="], SamplingArguments(2, 8, temperature=0.0), seed=1
    )
    expected = plain(model, tokenizer, ["12*3+4=", "98*7+6="], 8)
    assert [one.text for one in ours] == [text for text in expected for _ in range(2)]


def test_sampled_tokens_follow_the_models_distribution_and_the_seed(base):
    model, tokenizer = base
    args = SamplingArguments(4000, 1, temperature=0.7, top_k=5)
    first = sample_completions(model, tokenizer, ["12*3+4="], args, seed=1)
    assert (
        first
        == sample_completions(model, tokenizer, ["12*3+4="], args, seed=1)
        != sample_completions(model, tokenizer, ["12*3+4="], args, seed=2)
    )
    with torch.inference_mode():
        logits = model(**tokenizer(["12*3+4="], return_tensors="pt")).logits[0, -1] / 0.7
    expected = torch.softmax(logits.where(logits >= logits.topk(5).values[-1], -torch.inf), -1)
    for token, share in enumerate(expected.tolist()):
        text = tokenizer.decode([token], skip_special_tokens=True)
        assert sum(one.text == text for one in first) / 4000 == pytest.approx(share, abs=0.03)


def test_a_prompt_is_read_once_and_rows_that_have_ended_are_not_carried_along(base):
    model, tokenizer = base
    rows = []
    handle = model.register_forward_hook(
        lambda module, args, kwargs, output: rows.append(output.logits.shape[0]), with_kwargs=True
    )
    try:
        ours = sample_completions(model, tokenizer, PROMPTS * 20, SamplingArguments(4, 72), seed=3)
    finally:
        handle.remove()
    assert rows[0] == 120 and rows[1] == 480 and rows[-1] < 240
    needed, plain_cost = sum(one.tokens for one in ours), 480 * max(one.tokens for one in ours)
    assert sum(rows[1:]) < (needed + plain_cost) / 2


def test_the_same_seed_draws_the_same_completions_and_another_seed_others(base):
    prompts, args = (
        ["23*7+5=", "9*9+9=", "40*2+1="] * 4,
        SamplingArguments(max_completion_length=60),
    )
    first, again, other = (
        sample_completions(*base, prompts, args, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    greedy = SamplingArguments(max_completion_length=60, temperature=0.0)
    assert sample_completions(*base, prompts, greedy, seed=1) == sample_completions(
        *base, prompts, greedy, seed=2
    )


def test_a_completion_is_finished_only_if_the_model_ended_it(base):
    whole = sample_completions(
        *base, ["23*7+5="] * 32, SamplingArguments(max_completion_length=72), seed=1
    )
    cut = sample_completions(
        *base, ["23*7+5="] * 32, SamplingArguments(max_completion_length=2), seed=1
    )
    assert all(c.finished and c.tokens == len(base[1](c.text)["input_ids"]) + 1 for c in whole)
    assert not any(c.finished for c in cut)
    assert {c.tokens for c in cut} == {2}


def test_padding_beside_a_longer_prompt_changes_nothing(base):
    greedy = SamplingArguments(max_completion_length=60, temperature=0.0)
    alone = sample_completions(*base, ["23*7+5="], greedy, seed=1)
    assert (
        sample_completions(*base, ["23*7+5=", "23*7+5=23*7+5=23*7+5="], greedy, seed=1)[0]
        == alone[0]
    )


def test_batches_cover_everything_once():
    assert [list(b) for b in batches(5, 2)] == [[0, 1], [2, 3], [4]]
    assert list(batches(0, 2)) == []
