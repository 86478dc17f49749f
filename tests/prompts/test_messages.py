"""Questions become chat messages, and messages become exactly the text that a model continues."""

import pytest

from recipes.core.prompts import load_tokenizer, prefilled_text, render_prompt, to_messages
from recipes.core.prompts.messages import R1_ZERO_SYSTEM_PROMPT
from tests.support.commands import ROOT

SHIPPED = ROOT / "recipes/arithmetic/models/base"


@pytest.mark.parametrize(
    ("template", "system_prompt", "expected"),
    [
        (None, "", "23*7+5="),  # the template of recipes/arithmetic
        ("r1_zero.jinja", None, f"{R1_ZERO_SYSTEM_PROMPT}\nUser: 23*7+5\nAssistant:"),
    ],
)
def test_prompts_are_rendered_to_the_letter(template, system_prompt, expected):
    tokenizer = load_tokenizer(SHIPPED, template)
    assert render_prompt(tokenizer, to_messages("23*7+5", system_prompt)) == expected
    assert prefilled_text(tokenizer) == ""


@pytest.mark.parametrize(
    ("system_prompt", "expected"),
    [
        (None, [{"role": "system", "content": R1_ZERO_SYSTEM_PROMPT}]),
        ("Be brief.", [{"role": "system", "content": "Be brief."}]),
        ("", []),  # none
    ],
)
def test_a_question_is_asked_under_the_system_prompt(system_prompt, expected):
    user = {"role": "user", "content": "1+1?"}
    assert to_messages("1+1?", system_prompt) == [*expected, user]


def test_a_conversation_is_kept_without_the_system_prompt():
    conversation = [{"role": "user", "content": "1+1?"}]
    assert to_messages(conversation, "Be brief.") == conversation


def test_a_template_that_opens_the_think_block_is_noticed(tmp_path):
    template = tmp_path / "thinking.jinja"
    template.write_text(
        "{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}"
    )
    assert prefilled_text(load_tokenizer(SHIPPED, str(template))) == "<think>"
