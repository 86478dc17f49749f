"""The rewards of form and length, and the control: their formulas, and what cannot fool them."""

import pytest

from rewards import build_rewards
from rewards.shaping.format import Format
from rewards.shaping.language_consistency import Language
from rewards.shaping.overlong import Overlong
from rewards.shaping.reasoning_steps import ReasoningSteps
from rewards.shaping.repetition import Repetition
from rewards.shaping.tag_count import TagCount
from tests.support.commands import answered


def test_overlong_is_dapos_equation_13():
    reward = Overlong(max_tokens=100, cache_tokens=20)
    expected = {0: 0, 80: 0, 85: -0.25, 90: -0.5, 100: -1, 1000: -1}
    for length, score in expected.items():
        assert reward(completion="", completion_ids=[0] * length) == score


def test_overlong_is_trls_soft_overlong_punishment():
    from trl.rewards import get_soft_overlong_punishment

    ids = [[0] * n for n in (0, 79, 80, 81, 99, 100, 101, 300)]
    (ours,), _ = build_rewards([{"name": "overlong", "max_tokens": 100, "cache_tokens": 20}])
    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    scores = ours(completions=[""] * 8, completion_ids=ids)
    assert scores == pytest.approx(theirs(completion_ids=ids))


def test_repetition_is_minus_the_fraction_of_repeated_ngrams():
    reward = Repetition(ngram_words=2)
    assert reward(completion="a b c d") == 0.0
    assert reward(completion="a b a b") == pytest.approx(2 / 3 - 1)  # ab ba ab
    assert reward(completion="A a " * 50) == pytest.approx(1 / 99 - 1)
    assert reward(completion="") == reward(completion="a") == 0.0


@pytest.mark.parametrize(
    ("text", "tags", "graded"),
    [
        (answered("1"), 1.0, 1.0),
        ("<think>a</think><answer>1</answer> Done.", 1.0, 0.5),  # all tags, but malformed
        ("<think>a</think>1", 0.5, 0.25),
        ("<think>" * 9 + "a</think><answer>1", 0.5, 0.25),  # stuffing does not pay
        ("", 0.0, 0.0),
    ],
)
def test_tag_count_and_graded_format_pay_each_tag_once(text, tags, graded):
    assert TagCount()(completion=text) == tags
    assert Format(graded=True)(completion=text) == graded


def test_cosine_is_trls_cosine_reward_and_does_not_pay_for_length_beyond_its_end():
    from trl.rewards import get_cosine_scaled_reward

    lengths = [0, 1, 25, 50, 99, 100, 150, 200, 1000]  # open-r1's pays 200 like 0
    right = answered(r"\boxed{1}")
    wrong = answered(r"\boxed{2}")
    texts = [right] * len(lengths) + [wrong] * len(lengths)
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    ids = [[0] * n for n in lengths] * 2
    (ours,), _ = build_rewards([{"name": "cosine", "max_tokens": 100}])
    theirs = get_cosine_scaled_reward(max_len=100)(messages, ["1"] * len(texts), ids)
    scores = ours(completions=messages, answer=["1"] * len(texts), completion_ids=ids)
    assert scores == pytest.approx(theirs)
    assert scores[5:9] == [0.5] * 4 and scores[-4:] == [-0.5] * 4
    # An unreadable gold answer does not make the answer right; in open-r1's reward it does.
    assert ours(completions=messages[:1], answer=["~"], completion_ids=[[0]]) == [None]


def test_length_group_compares_lengths_within_the_completions_of_one_question():
    (reward,), _ = build_rewards(["length_group"])
    rows = [  # question, answer, tokens, score
        ("a", "1", 10, 0.5),
        ("a", "1", 20, 0.0),
        ("a", "1", 30, -0.5),
        ("a", "2", 10, 0.0),  # wrong and short earns nothing
        ("a", "2", 30, -0.5),
        ("b", "1", 1000, 0.0),  # alone, however long: open-r1 takes the lengths of the whole batch
        ("c", "1", 7, 0.0),
        ("c", "2", 7, 0.0),
    ]
    prompts, answers, lengths, expected = zip(*rows, strict=True)
    scores = reward(
        completions=[answered(answer) for answer in answers],
        prompts=[[{"role": "user", "content": prompt}] for prompt in prompts],
        answer=["1"] * len(rows),
        completion_ids=[[0] * n for n in lengths],
    )
    assert scores == pytest.approx(list(expected))
    scores = reward(
        completions=[answered("1")] * 2,
        prompts=["a", "a"],
        answer=["1", "~"],
        completion_ids=[[0], [0, 0]],
    )
    assert scores == [0.0, None]  # an unreadable gold answer does not make the answer right


@pytest.mark.parametrize(
    ("language", "think", "score"),
    [
        ("en", "so the sum is 42", 1.0),
        ("en", "so \u8fd9\u662f the sum", 0.6),  # two Han characters are two words
        ("zh", "\u6240\u4ee5\u7b54\u6848\u662f 42", 1.0),
        ("zh", "\u6240\u4ee5 \\frac{1}{2}", 1.0),  # LaTeX is not a language
        ("ru", "\u0438\u0442\u0430\u043a, so", 0.5),
        ("ja", "\u7b54\u3048\u306f 42 \u3067\u3059", 1.0),  # kanji and kana
        ("en", "6*7=42", 1.0),  # no words
    ],
)
def test_language_is_the_fraction_of_words_in_the_target_language(language, think, score):
    reward = Language(language)
    completion = f"<think>{think}</think><answer>1</answer>"
    assert reward(completion=completion) == pytest.approx(score)
    assert reward(completion=think) == 0.0  # malformed


def test_random_depends_on_nothing_but_the_batch():
    (reward,), _ = build_rewards(["random"])
    scores = reward(completions=["same"] * 1000)
    assert set(scores) == {0.0, 1.0} and 400 < sum(scores) < 600
    assert reward(completions=["same"] * 1000) == scores != reward(completions=["other"] * 1000)
    (always,), _ = build_rewards([{"name": "random", "probability": 1}])
    assert set(always(completions=["a"] * 9)) == {1.0}


def test_reasoning_steps_counts_steps_of_the_think_block_only():
    reward = ReasoningSteps(steps=4)
    think = "First, read it.\nStep 2: add.\n3. carry\n- done\n"
    assert reward(completion=f"<think>{think}</think><answer>1</answer>") == 1.0
    assert reward(completion="<think>Then, add. It is 3.14 - 1</think><answer>1</answer>") == 0.25
    assert reward(completion=f"<think>a</think><answer>{think}</answer>") == 0.0
