"""What is paid, and what is not."""

import pickle

import pytest

import rewards
from rewards import RewardError, build
from rewards.accuracy import Accuracy
from rewards.choice import Choice
from rewards.countdown import Countdown
from rewards.exact import Exact
from rewards.format import Format
from rewards.overlong import Overlong
from rewards.repetition import Repetition
from rewards.trace import Trace, parse

IDEAL = "<think>23*7=161</think><answer>161</answer>"


def test_a_trace_is_taken_apart_into_stripped_texts():
    assert parse(" <think>\n a\nb </think>\n\n<answer> 42 </answer>\n") == Trace("a\nb", "42")


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
        IDEAL + "<|im_end|>x",  # what a decoder leaves behind the end
    ],
)
def test_what_is_not_exactly_one_think_and_one_answer_block_earns_nothing(text):
    assert parse(text) is None
    assert Format()(completion=text) == 0.0
    assert Accuracy()(completion=text, answer="161") == 0.0


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("161", "161", 1.0),  # the same text
        ("161", "161.0", 1.0),  # the same number
        ("1,610", "1610", 1.0),  # thousands separators in the gold
        ("1610", "1,610", 1.0),  # and in the answer
        ("18", "$18", 1.0),  # GSM8K's dollars
        ("18", "$18.00", 1.0),
        ("0.5", ".5", 1.0),
        ("-3", "-3", 1.0),
        ("3", "-3", 0.0),  # the sign counts
        ("42", "142", 0.0),  # reasoning-gym's helper pays this
        ("42", "42.0001", 0.0),  # near is not right
        ("161", "160", 0.0),
        ("161", "162 161", 0.0),  # two answers are none
        ("161", "9" * 5000, 0.0),  # longer than Python converts
        (r"\frac{1}{2}", "0.5", 1.0),  # math-verify decides
        (r"\frac{1}{2}", r"\boxed{\frac{2}{4}}", 1.0),
        (r"\frac{1}{2}", r"\frac{1}{3}", 0.0),
        (r"x^2+1", r"1+x^2", 1.0),
        ("161", "no idea", 0.0),
        ("", "161", None),  # no gold: cannot be judged
    ],
)
def test_accuracy_compares_numbers_and_formulas_not_texts(gold, answer, score):
    assert Accuracy()(completion=f"<think>a</think><answer>{answer}</answer>", answer=gold) == score


def test_the_answer_is_never_taken_from_the_think_block():
    assert Accuracy()(completion="<think>161</think><answer>160</answer>", answer="161") == 0.0


def test_an_answer_built_to_hang_math_verify_is_wrong_within_its_limit():
    assert Accuracy(timeout_seconds=1)(completion="<think>a</think><answer>$9^{9^{9^{9}}}$</answer>", answer="3") == 0.0


def answered(answer):
    return f"<think>a</think><answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("(44-19)*35", 1.0),  # each number once
        ("35 * (44 - 19)", 1.0),
        ("44-19*35", 0.0),  # another value
        ("(44-19)*35+0", 0.0),  # a number that is not given
        ("(44-19)*(35+44-44)", 0.0),  # a number used too often
        ("875", 0.0),  # the target is not an expression of the numbers
        ("(44-19)*35=875", 0.0),  # an equation
        ("44**19**35", 0.0),  # TinyZero's eval hangs on it
        ("(44-19)*35/(35-35)", 0.0),  # division by zero
        ("(44-19)*35.0", 0.0),  # not a whole number
        ("44//19", 0.0),  # another operator
        ("-19+44", 0.0),  # a sign is no operator between numbers
        ("__import__('os')", 0.0),  # code
        ("(" * 5000 + "44", 0.0),  # deep nesting
        ("((44-19)*35", 0.0),  # an open bracket
    ],
)
def test_countdown_pays_only_expressions_of_the_given_numbers_that_reach_the_target(answer, score):
    assert Countdown()(completion=answered(answer), answer="875", nums=[44, 19, 35]) == score


def test_countdown_does_not_take_digits_or_halves_for_numbers():
    assert Countdown()(completion=answered("1.5*4"), answer="6", nums=[1, 5, 4]) == 0.0  # TinyZero pays it
    assert Countdown()(completion=answered("9//2+3"), answer="7", nums=[9, 2, 3]) == 0.0  # and this
    assert Countdown()(completion=answered("1/3*3"), answer="1", nums=[1, 3, 3]) == 1.0  # exact rationals
    assert Countdown()(completion=answered("1+2"), answer="three", nums=[1, 2]) is None
    assert Countdown()(completion=answered("1+2"), answer="3", nums=None) is None


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("B", "B", 1.0),
        ("B", "b", 1.0),
        ("B", "(B)", 1.0),
        ("(B)", "B.", 1.0),
        ("B", "B) Paris", 1.0),
        ("B", r"\boxed{B}", 1.0),
        ("B", r"\boxed{\text{B}}", 1.0),
        ("B", "A", 0.0),
        ("A", "A or B", 0.0),  # hedging
        ("A", "A cat", 0.0),  # an article
        ("A", "AB", 0.0),
        ("A", "", 0.0),
        ("Paris", "A", None),  # the gold is not a letter
    ],
)
def test_choice_reads_one_letter(gold, answer, score):
    assert Choice()(completion=answered(answer), answer=gold) == score


def test_exact_compares_texts_and_nothing_else():
    assert Exact()(completion=answered("New  York\n"), answer="New York") == 1.0
    assert Exact()(completion=answered("new york"), answer="New York") == 0.0
    assert Exact(ignore_case=True)(completion=answered("new york"), answer="New York") == 1.0
    assert Exact()(completion=answered("0.50"), answer="0.5") == 0.0
    assert Exact()(completion="0.5", answer="0.5") == 0.0  # no answer block
    assert Exact()(completion=answered("x"), answer=" ") is None


def test_overlong_is_dapos_equation_13():
    reward = Overlong(max_tokens=100, cache_tokens=20)
    assert [reward(completion="", completion_ids=[0] * n) for n in (0, 80, 85, 90, 100, 1000)] == [0, 0, -0.25, -0.5, -1, -1]


def test_overlong_is_trls_soft_overlong_punishment():
    from trl.rewards import get_soft_overlong_punishment

    ids = [[0] * n for n in (0, 79, 80, 81, 99, 100, 101, 300)]
    ours, _ = build([{"name": "overlong", "max_tokens": 100, "cache_tokens": 20}])
    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    assert ours[0](completions=[""] * 8, completion_ids=ids) == pytest.approx(theirs(completion_ids=ids))


def test_repetition_is_minus_the_share_of_repeated_ngrams():
    reward = Repetition(ngram_words=2)
    assert reward(completion="a b c d") == 0.0
    assert reward(completion="a b a b") == pytest.approx(2 / 3 - 1)  # ab ba ab
    assert reward(completion="A a " * 50) == pytest.approx(1 / 99 - 1)
    assert reward(completion="") == reward(completion="a") == 0.0


def test_built_rewards_speak_trl_with_messages_and_with_strings():
    functions, weights = build([{"name": "accuracy"}, {"name": "format", "weight": 0.2}])
    assert weights == [1.0, 0.2]
    assert [function.__name__ for function in functions] == ["accuracy", "format"]
    messages = [[{"role": "assistant", "content": text}] for text in (IDEAL, "161")]
    for completions in (messages, [IDEAL, "161"]):
        columns = {"prompts": ["?", "?"], "answer": ["161", "161"], "trainer_state": object()}
        assert [function(completions=completions, **columns) for function in functions] == [[1.0, 0.0], [1.0, 0.0]]


def test_a_think_tag_that_the_template_wrote_is_put_back():
    (function,), _ = build(["format"], prefix="<think>")
    assert function(completions=[IDEAL.removeprefix("<think>"), IDEAL]) == [1.0, 0.0]


def test_built_rewards_can_be_pickled():
    parameters = {
        "overlong": {"max_tokens": 100, "cache_tokens": 20},
        "cosine": {"max_tokens": 100},
        "model": {"model_name_or_path": "some/model"},
        "judge": {"base_url": "http://localhost:8000/v1", "model": "some"},
    }
    for function in build([{"name": name, **parameters.get(name, {})} for name in rewards.REWARDS])[0]:
        assert pickle.loads(pickle.dumps(function)) == function


def own_reward(completions, bonus=0.0, **columns):
    return [len(text) + bonus for text in completions]


def test_a_dotted_path_names_any_trl_style_callable_and_passes_its_parameters():
    functions, weights = build([{"name": "tests.test_rewards:own_reward", "weight": 0.1, "bonus": 2}])
    assert weights == [0.1]
    assert functions[0](completions=["abc"]) == [5]
    assert build(["trl.rewards.think_format_reward"])[0][0].__name__ == "think_format_reward"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "acuracy"}, "did you mean 'accuracy'?"),  # misspelt
        ({"name": "accuracy", "wieght": 1}, "no parameter 'wieght'; allowed are: weight, timeout_seconds, memory_mb"),
        ({"name": "accuracy", "weight": "much"}, "write a number"),
        ({"weight": 1.0}, "has no name"),
        (1.0, "has no name"),
        ("overlong", "missing 2 required positional arguments"),
        ({"name": "overlong", "max_tokens": 10, "cache_tokens": 20}, "must be from 1 to max_tokens 10"),
        ({"name": "no_such_package.rewards:f"}, "cannot import"),
        ({"name": "trl.rewards:no_such"}, "cannot import"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_with_what_is_allowed(entry, message):
    with pytest.raises(RewardError, match=message.replace("?", r"\?")):
        build([entry])


def test_a_reward_that_raises_or_returns_no_score_stops_the_run_and_names_the_row():
    def broken(completion, **row):
        return 1 / (completion != "b")

    def strange(completion, **row):
        return float("nan")

    with pytest.raises(RewardError, match=r"'broken' raised ZeroDivisionError.* on row 1: 'b'"):
        rewards.TRLReward(broken, "broken")(completions=["a", "b"])
    with pytest.raises(RewardError, match="'strange' returned nan on row 0"):
        rewards.TRLReward(strange, "strange")(completions=["a"])
