"""A loaded tokenizer renders a conversation, pads a batch and ends a turn."""

import pytest

from recipes.core.errors import UserError
from recipes.core.paths import CHAT_TEMPLATES
from recipes.core.prompts import load_tokenizer
from tests.support.commands import ROOT

SHIPPED = ROOT / "recipes/arithmetic/models/base"


def save_tokenizer(folder, **changes):
    """The shipped tokenizer with other attributes, as a model of its own."""
    tokenizer = load_tokenizer(SHIPPED)
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_tokenizer_without_a_template_gets_that_of_deepseek_r1_zero(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, chat_template=None))
    assert tokenizer.chat_template == (CHAT_TEMPLATES / "r1_zero.jinja").read_text()


def test_a_given_template_wins_over_the_tokenizers_own():
    assert (
        load_tokenizer(SHIPPED).chat_template
        != load_tokenizer(SHIPPED, "r1_zero.jinja").chat_template
    )


def test_prompts_are_padded_on_the_left_even_without_a_padding_token(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, pad_token=None))
    assert tokenizer.pad_token == tokenizer.eos_token
    mask = tokenizer(["1", "1+1"], padding=True)["attention_mask"]
    assert mask == [[0, 0, 1], [1, 1, 1]]


def test_the_token_that_ends_a_turn_becomes_the_end_of_sequence_token(tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}<pad>{% endfor %}")
    assert load_tokenizer(SHIPPED).eos_token == "<eos>"
    assert load_tokenizer(SHIPPED, str(template)).eos_token == "<pad>"


def test_a_template_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match=r"chat_template: there is no file 'nowhere\.jinja'"):
        load_tokenizer(SHIPPED, "nowhere.jinja")


def test_a_folder_without_a_tokenizer_is_refused_by_the_key_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"teacher_model '.*': cannot load its tokenizer") as error:
        load_tokenizer(tmp_path, key="teacher_model")
    assert "\n" not in str(error.value)
