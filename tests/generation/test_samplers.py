"""A sampler is chosen by the configuration, and what cannot run is refused before it is opened."""

import pytest
from datasets import Dataset
from trl import ModelConfig

from recipes.core.generation.samplers import SamplerArguments, open_sampler
from recipes.core.generation.sampling import SamplingArguments, sample_completions
from recipes.core.generation.vllm_sampler import sample_seed

BASE = "recipes/arithmetic/models/base"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"teacher": "oracle"}, "write transformers, vllm or endpoint"),
        ({"teacher": "endpoint"}, "belong together"),
        ({"teacher_url": "http://localhost:8000/v1"}, "belong together"),
        ({"teacher": "vllm"}, r"run: pip install -r requirements-gpu\.txt"),
    ],
)
def test_a_teacher_that_cannot_run_is_refused(monkeypatch, keys, message):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no package at all
    with pytest.raises(ValueError, match=message):
        SamplerArguments(**keys)


def test_vllm_as_one_of_several_processes_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"start one .* with vllm_tensor_parallel_size"):
        SamplerArguments(teacher="vllm")


def test_a_local_model_is_sampled_with_its_prefilled_text_and_freed_at_the_end(
    tmp_path, model, tokenizer
):
    template = tmp_path / "thinking.jinja"
    template.write_text(
        "{{ messages[0].content }}={% if add_generation_prompt %}<think>{% endif %}"
    )
    prompts = [[{"role": "user", "content": question}] for question in ("23*7+5", "9*9+9")]
    rows = [{"prompt": prompt, "sample_index": n} for prompt in prompts for n in range(2)]
    args = SamplingArguments(2, 20)

    with open_sampler(BASE, ModelConfig(), SamplerArguments(), str(template)) as sampler:
        assert sampler.batch_dependent
        assert sampler.metadata["model"] == BASE
        assert sampler.metadata["parameters"] == model.num_parameters()
        assert sampler.metadata["template"] == template.read_text()
        first_prompt = sampler.first_prompt(Dataset.from_list(rows))
        completions = sampler.sample(rows, args, seed=1)
    assert first_prompt == "23*7+5=<think>"
    assert not hasattr(sampler, "model")

    # The template's part of the reply belongs to the completion, but is not counted.
    rendered = ["23*7+5=<think>", "9*9+9=<think>"]
    expected = sample_completions(model, tokenizer, rendered, args, seed=1)
    assert [one.text for one in completions] == ["<think>" + one.text for one in expected]
    assert [one.tokens for one in completions] == [one.tokens for one in expected]


def test_every_sample_of_vllm_has_a_seed_of_its_own():
    row = {"question_id": "a", "sample_index": 0}
    others = [
        (2, row),
        (1, row | {"question_id": "b"}),
        (1, row | {"sample_index": 1}),
    ]
    seeds = {sample_seed(seed, other) for seed, other in others}
    assert len(seeds | {sample_seed(1, row)}) == 4
    assert sample_seed(1, row) == sample_seed(1, row | {"prompt": "not part of it"})
    assert 0 <= sample_seed(1, row) < 2**32
