"""Decoding with a shrinking batch gives the completions of transformers' own `generate`."""

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, set_seed

from recipes.core.generation.sampling import SamplingArguments, sample_completions

# Prompts of many lengths, whose completions differ in length too.
PROMPTS = ["12*3+4=", "7=", "98*7+6=", "<think>", "55*5+5=", "23*4=92 23*4"]


def generate_plainly(model, tokenizer, prompts, length):
    """The texts of transformers' own greedy decoding."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    output = model.generate(**inputs, max_new_tokens=length, do_sample=False)
    completions = output[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(completions, skip_special_tokens=True)


def greedy_texts(model, tokenizer, prompts, samples, length):
    """The texts of our greedy decoding, each of which has ended or is as long as it may be."""
    args = SamplingArguments(samples, length, temperature=0.0)
    completions = sample_completions(model, tokenizer, prompts, args, seed=1)
    for one in completions:
        assert one.tokens == length or (one.finished and one.tokens < length)
    return [one.text for one in completions]


def repeat(texts, times):
    """Each text `times` times in a row."""
    return [text for text in texts for _ in range(times)]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("length", [1, 5, 72])
def test_greedy_completions_are_those_of_generate(model, tokenizer, samples, length):
    expected = generate_plainly(model, tokenizer, PROMPTS, length)
    texts = greedy_texts(model, tokenizer, PROMPTS, samples, length)
    assert texts == repeat(expected, samples)


# Caches of other kinds than a plain one: sliding windows, recurrent states, both.
ARCHITECTURES = {
    "mistral": {"sliding_window": 8},
    "gemma3_text": {
        "sliding_window": 8,
        "tie_word_embeddings": False,
        "head_dim": 16,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention"],
        "head_dim": 16,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
}


def make_random_model(kind, tokenizer):
    """A small model of this architecture with random weights."""
    set_seed(0)
    ends = ["<eos>", "1", "2", "3"]  # a random model seldom ends by itself
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        initializer_range=0.5,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(ends),
        bos_token_id=None,
        **ARCHITECTURES[kind],
    )
    return AutoModelForCausalLM.from_config(config).float().eval()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_no_kind_of_cache_is_damaged_when_rows_leave_the_batch(kind, tokenizer):
    model = make_random_model(kind, tokenizer)
    prompts = [f"{n}*{n % 9}+1=" for n in range(10, 42)]
    expected = generate_plainly(model, tokenizer, prompts, 40)
    assert len({len(text) for text in expected}) > 3  # rows leave at different times
    assert greedy_texts(model, tokenizer, prompts, 2, 40) == repeat(expected, 2)


def test_a_model_without_a_cache_of_keys_and_values_is_sampled_by_generate_itself(tokenizer):
    from transformers import MambaConfig, MambaForCausalLM

    set_seed(0)
    config = MambaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        state_size=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = MambaForCausalLM(config).eval()
    prompts = ["12*3+4=", "98*7+6="]
    expected = generate_plainly(model, tokenizer, prompts, 8)
    assert greedy_texts(model, tokenizer, prompts, 2, 8) == repeat(expected, 2)


def test_a_prompt_is_read_once_and_finished_rows_leave_the_batch(model, tokenizer):
    batch_sizes = []

    def record(module, args, kwargs, output):
        batch_sizes.append(output.logits.shape[0])

    handle = model.register_forward_hook(record, with_kwargs=True)
    try:
        args = SamplingArguments(4, 72)
        completions = sample_completions(model, tokenizer, PROMPTS * 20, args, seed=3)
    finally:
        handle.remove()

    # One row for each of the 120 prompts, then one for each of the 480 completions.
    assert batch_sizes[0] == 120
    assert batch_sizes[1] == 480
    assert batch_sizes[-1] < 240

    # The rows that were computed are nearer to the tokens that were needed than to what plain
    # `generate` computes.
    needed = sum(one.tokens for one in completions)
    plain = 480 * max(one.tokens for one in completions)
    assert sum(batch_sizes[1:]) < (needed + plain) / 2
