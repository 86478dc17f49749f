"""Prompt and completion must fit into the model's positions, which are read from its config."""

import sys

import pytest
from datasets import Dataset
from transformers import GPT2Config, LlamaConfig, MambaConfig
from trl import ModelConfig

from recipes.core.errors import UserError
from recipes.core.models.loading import max_model_length
from recipes.core.preflight import check_completion_fits, check_trace_fits


def saved(folder, config):
    config.save_pretrained(folder)
    return ModelConfig(model_name_or_path=str(folder))


def longest(tokens):
    return Dataset.from_dict({"prompt_tokens": [tokens, 3]})


def rope(**parameters):
    return LlamaConfig(
        max_position_embeddings=64, rope_parameters={"rope_theta": 1e4, **parameters}
    )


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (GPT2Config(n_positions=64), 64),  # learned positions, under another name
        (LlamaConfig(max_position_embeddings=64), 64),
        (rope(rope_type="linear", factor=2.0), 128),
        (rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64), 256),
        (rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16), 64),
        (MambaConfig(), sys.maxsize),  # a state has no positions
    ],
)
def test_the_positions_of_a_model_are_those_of_its_config(tmp_path, config, positions):
    assert max_model_length(saved(tmp_path, config)) == positions


def test_what_does_not_fit_is_refused_with_what_would(tmp_path):
    model = saved(tmp_path, GPT2Config(n_positions=64))
    check_completion_fits(model, longest(40), 24)
    with pytest.raises(UserError, match=r"40 tokens\) and 25 .* 64 positions .*_length: 24, or"):
        check_completion_fits(model, longest(40), 25)
    with pytest.raises(UserError, match=r"64 positions .*; leave out long prompts"):
        check_completion_fits(model, longest(64), 1)  # nothing fits beside such a prompt
    check_trace_fits(model, 64)
    with pytest.raises(UserError, match="write max_length: 64"):
        check_trace_fits(model, 65)


def test_a_model_whose_config_cannot_be_read_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=f"cannot load the model '{tmp_path}'"):
        max_model_length(ModelConfig(model_name_or_path=str(tmp_path)))
