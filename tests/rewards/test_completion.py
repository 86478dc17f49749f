"""Parsing a completion: one think block, then one answer block, and nothing else."""

import pytest

from rewards.completion import ParsedCompletion, parse_completion
from rewards.correctness.accuracy import Accuracy
from rewards.shaping.format import Format

IDEAL = "<think>23*7=161</think><answer>161</answer>"


def test_a_completion_is_parsed_into_stripped_texts():
    text = " <think>\n a\nb </think>\n\n<answer> 42 </answer>\n"
    assert parse_completion(text) == ParsedCompletion("a\nb", "42")


@pytest.mark.parametrize(
    "text",
    [
        "",  # empty
        "161",  # no tags
        "<think></think><answer>161</answer>",  # empty think block
        "<think> \n</think><answer>161</answer>",  # think block of white space
        "<think>a</think><answer></answer>",  # empty answer
        "<think>a</think><answer> </answer>",  # answer of white space
        "<think>a</think><answer>161</answer> Done.",  # text after the answer
        "Sure! <think>a</think><answer>161</answer>",  # text before the think block
        "<think>a</think> so <answer>161</answer>",  # text between the blocks
        "<think>a</think><think>b</think><answer>161</answer>",  # two think blocks
        "<think>a</think><answer>1</answer><answer>161</answer>",  # two answer blocks
        "<think>a<answer>161</answer></think>",  # answer inside the think block
        "<think>a<think>b</think></think><answer>161</answer>",  # nested think blocks
        "<answer>161</answer><think>a</think>",  # wrong order
        "<think>a</think><answer>161",  # truncated in the answer
        "<think>161",  # truncated while thinking
        "</think><think>a<answer>161</answer>",  # closed before it is opened
        "<THINK>a</THINK><answer>161</answer>",  # other case
        IDEAL * 2,  # doubled
        IDEAL + "<|im_end|>x",  # left behind by a decoder
    ],
)
def test_anything_but_one_think_and_one_answer_block_earns_nothing(text):
    assert parse_completion(text) is None
    assert Format()(completion=text) == 0.0
    assert Accuracy()(completion=text, answer="161") == 0.0
