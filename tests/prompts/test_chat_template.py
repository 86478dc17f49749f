"""A chat template may stand in the YAML, lack a system role, or forget the BOS token."""

import pytest
from trl.data_utils import _tokenize

from recipes.core.errors import UserError
from recipes.core.paths import CHAT_TEMPLATES
from recipes.core.prompts import load_tokenizer, render_prompt, to_messages
from recipes.core.prompts.chat_template import read_template, render_conversation
from tests.support.commands import ROOT, stage_here
from tests.support.tiny_tokenizers import save_byte_tokenizer

SHIPPED = ROOT / "recipes/arithmetic/models/base"
R1_ZERO = (CHAT_TEMPLATES / "r1_zero.jinja").read_text()
LOOP = "{% for message in messages %}{{ message.content }}<eos>{% endfor %}"

# As in the templates of Gemma and Mistral.
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}<end_of_turn>{% endfor %}"
)
ALTERNATING = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}"
    "{{ m.content }}<end_of_turn>{% endfor %}"
)


# Where a template comes from.


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content }}",  # an expression
        "{% for m in messages %}{{ m.content }}{% endfor %}",  # a statement
        "{# mine #}" + LOOP,  # a comment
        "{%- for m in messages -%}\n{{ m.content }}\n{%- endfor -%}\n",  # a block of YAML
        LOOP + "{# " + "padding " * 1000 + "#}",  # longer than the name of a file may be
    ],
)
def test_a_template_in_the_yaml_is_used_as_it_is(template):
    assert load_tokenizer(SHIPPED, template).chat_template == template


@pytest.mark.parametrize(
    "name",
    [
        "nowhere.jinja",
        "x" * 5000,  # longer than the name of a file may be
        "recipes",  # a folder
        "{messages}",  # no template either
    ],
)
def test_what_is_neither_a_template_nor_a_file_is_refused_in_one_line(name):
    with pytest.raises(UserError, match="chat_template: there is no file") as error:
        read_template(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages %}{{ m.content }}", "cannot render .* end of template"),
        ("{{ messages[0].content + 1 }}", "cannot render a conversation of user"),
        ("{{ raise_exception('no') }}", r"cannot render .*\(no\)"),
        ("{{ 'hello' }}", "writes nothing of a conversation"),
    ],
)
def test_a_template_that_does_not_work_is_refused_in_one_line(template, problem):
    with pytest.raises(UserError, match=problem) as error:
        load_tokenizer(SHIPPED, template)
    assert "\n" not in str(error.value)


# System prompts.


@pytest.mark.parametrize("template", [NO_SYSTEM, ALTERNATING])
def test_a_template_without_a_system_role_says_what_to_write(tmp_path, template):
    tokenizer = load_tokenizer(save_byte_tokenizer(tmp_path, template=template))
    assert tokenizer.eos_token == "<end_of_turn>"
    with pytest.raises(UserError, match=r"takes no system prompt .*`system_prompt: ''` or `chat_"):
        render_prompt(tokenizer, to_messages("1+1", None))
    assert "1+1<end_of_turn>" in render_prompt(tokenizer, to_messages("1+1", ""))


def test_the_system_prompt_is_not_blamed_for_another_mistake(tmp_path):
    tokenizer = load_tokenizer(save_byte_tokenizer(tmp_path, template=ALTERNATING))
    twice = [{"role": "user", "content": "1"}, {"role": "user", "content": "2"}]
    for messages in (twice, [{"role": "system", "content": "s"}, *twice]):
        with pytest.raises(UserError, match=r"cannot render a conversation of .*user, user"):
            render_conversation(tokenizer, messages)


def test_a_template_that_leaves_the_system_prompt_out_is_said_once(caplog):
    tokenizer = load_tokenizer(SHIPPED, "{{ messages[-1].content }}{# forgetful #}")
    for question in ("1+1", "2+2"):
        render_prompt(tokenizer, to_messages(question, "Be brief."))
    assert caplog.text.count("leaves the system prompt out") == 1


def test_grpo_names_the_keys_before_it_trains(tmp_path):
    config = ROOT / "recipes/arithmetic/grpo.yaml"
    keys = ("--output_dir", tmp_path, "--chat_template", NO_SYSTEM, "--system_prompt", "Be brief.")
    with pytest.raises(UserError, match="the chat template takes no system prompt"):
        stage_here("grpo", config, *keys)
    assert not (tmp_path / "policy").exists()


# The token that texts begin with.


def prompt_ids(tokenizer):
    """A prompt as the samplers and as TRL tokenize it; the two are the same."""
    messages = to_messages("2+2=", None)
    text = render_prompt(tokenizer, messages)
    sampled = tokenizer(text, add_special_tokens=False)["input_ids"]
    trained = _tokenize(tokenizer, messages, add_generation_prompt=True)["input_ids"]
    assert sampled == trained
    return sampled


@pytest.mark.parametrize("template", [None, "r1_zero.jinja", R1_ZERO])
def test_prompts_begin_with_one_bos_token_where_texts_do(tmp_path, template):
    tokenizer = load_tokenizer(save_byte_tokenizer(tmp_path), template)
    assert tokenizer("2+2=")["input_ids"][0] == tokenizer.bos_token_id
    assert prompt_ids(tokenizer)[0] == tokenizer.bos_token_id
    assert prompt_ids(tokenizer).count(tokenizer.bos_token_id) == 1


def test_a_saved_tokenizer_does_not_get_a_second_bos_token(tmp_path):
    tokenizer = load_tokenizer(save_byte_tokenizer(tmp_path))
    tokenizer.save_pretrained(tmp_path / "trained")
    for template in (None, "r1_zero.jinja"):
        again = load_tokenizer(tmp_path / "trained", template)
        assert again.chat_template == tokenizer.chat_template
        assert prompt_ids(again) == prompt_ids(tokenizer)


def test_a_bos_token_that_texts_do_not_begin_with_is_not_written(tmp_path, caplog):
    tokenizer = load_tokenizer(save_byte_tokenizer(tmp_path, bos=False), "r1_zero.jinja")
    assert tokenizer.chat_template == R1_ZERO
    assert tokenizer.bos_token_id not in prompt_ids(tokenizer)
    assert "begin with" not in caplog.text


def test_a_template_of_ones_own_without_the_bos_token_is_said(tmp_path, caplog):
    folder = save_byte_tokenizer(tmp_path)
    assert load_tokenizer(folder, LOOP).chat_template == LOOP
    assert "prompts do not begin with <bos>" in caplog.text
    caplog.clear()
    load_tokenizer(folder, "{{ bos_token }}" + LOOP)
    assert not caplog.text
