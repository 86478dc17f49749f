"""The verdict: what is right, what is wrong, and that it takes no longer than its limit."""

import threading
import time

import pytest

from rewards import build_rewards
from rewards.answers.compare import Comparison, compare
from rewards.answers.estimate import clearly_differ
from rewards.answers.normalize import boxed, normalize
from rewards.answers.polynomial import parse_polynomial
from rewards.answers.quantity import read_value
from rewards.answers.sums import Unparsable
from rewards.completion import flexible_completion, parse_completion
from rewards.correctness.accuracy import Accuracy
from tests.support.commands import answered


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("161", "161", 1.0),  # the same text
        ("161", "161.0", 1.0),  # the same number
        ("1,610", "1610", 1.0),  # thousands separators in the gold
        ("1610", "1,610", 1.0),  # and in the answer
        ("18", "$18", 1.0),  # GSM8K's dollars
        ("18", "$18.00", 1.0),
        (r"$\$36$", r"\boxed{\$36}", 1.0),  # a currency inside delimiters
        (r"$\$36$", "36", 1.0),
        (r"$\$36$", r"\boxed{\$37}", 0.0),
        (r"\frac{2^{2005}+1}{3 \cdot 2^{2006}}", r"\frac{1}{3 \cdot 2^{2006}}", 0.0),  # a sixth
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
        ("161", r"\boxed{161}", 1.0),
        ("161", r"The answer is \boxed{161}.", 1.0),
        ("161", r"\boxed{160} \boxed{161}", 0.0),  # two boxes are two answers
        ("161", r"\(161\)", 1.0),  # delimiters
        ("1610", r"1{,}610", 1.0),  # LaTeX's thousands
        ("11111611", r"11,\! 111,\!611", 1.0),
        ("18", r"\$18", 1.0),
        ("-3", "\u22123", 1.0),  # the minus sign of typography
        ("18", r"18\%", 1.0),  # nobody knows which the question wants
        ("0.18", "18%", 1.0),
        ("18", "0.18", 0.0),
        ("18", "18.5%", 0.0),
        ("2/3", r"\dfrac23", 1.0),
        ("-2/3", r"\frac{-2}{3}", 1.0),
        ("2/3", "0.666667", 1.0),  # math-verify rounds to six places
        ("2/3", "0.67", 0.0),
        (
            "Natalia sold 48/2 = 24 clips in May.\nAltogether 48+24 = 72.\n#### 72",
            "72",
            1.0,
        ),  # a whole gold of GSM8K
        ("Natalia sold 48/2 = 24 clips in May.\nAltogether 48+24 = 72.\n#### 72", "24", 0.0),
        ("#### 1,610", "1610", 1.0),
        (
            r"First $x=2$, so the area is $\boxed{\frac{7}{2}}$.",
            r"\frac72",
            1.0,
        ),  # a whole gold of MATH
        (r"First $x=2$, so the area is $\boxed{\frac{7}{2}}$.", "2", 0.0),
        (r"2\sqrt{3}", r"\sqrt{12}", 1.0),
        (r"2\sqrt{3}", "3.4641016", 1.0),  # again to six places
        ("[1,2)", r"\left[1, 2\right)", 1.0),
        ("[1,2)", "(1,2)", 0.0),
        (r"[1,\infty)", r"[1,\infty]", 1.0),
        (r"\{1,2,3\}", r"\{3, 1, 2\}", 1.0),
        ("(1,2)", "(2,1)", 0.0),
        (
            r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}",
            1.0,
        ),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2&3&4\end{pmatrix}", 0.0),
        (r"5\text{ cm}", "5", 1.0),  # units do not count, as in math-verify
        (r"5\text{ cm}", r"6\text{ cm}", 0.0),
        (r"\text{Evelyn}", "evelyn", 1.0),
        (r"2\sqrt{2}", r"2\sqrt{2} ft", 1.0),
        (r"3\frac{1}{2}", "3.5", 1.0),
        ("7", r"x=\boxed{7}", 1.0),
        ("7", r"**Final Answer:** \boxed{7}", 1.0),
        ("7", r"The answer is **$\boxed{7}$**.", 1.0),
        ("7", r"- \boxed{7}", 1.0),  # a bullet
        ("7", r"Step 2: $\Rightarrow \boxed{7}$", 1.0),
        ("7", r"\boxed{7} - the number of ways", 1.0),
        ("7", r"3 + \boxed{7}", 0.0),  # a box in a formula
        (r"roots are $\boxed{2}$ and $\boxed{3}$.", "2,3", 1.0),  # a gold of two answers
        (r"roots are $\boxed{2}$ and $\boxed{3}$.", "3", 0.0),
        (["5", "6"], "5, 6", 1.0),  # OlympiadBench's lists
        (["5", "6"], "5", 0.0),
        (7.0, "7", 1.0),
        ("[0,1]", r"0 \le x \le 1", 1.0),
        (r"(2,\infty)", "x > 2", 1.0),
        (r"(2,\infty)", "x > 3", 0.0),
        ("xyz", "zyx", 1.0),  # a product
        ("east", "East", 1.0),  # a word
        ("7/2", "3 1/2", 1.0),
        ("31/2", "3 1/2", 0.0),
        ("3000", r"3\text{ thousand dollars}", 1.0),
        (r"\sqrt{2}", "\u221a2", 1.0),
        (r"\frac{\pi}{2}", "pi/2", 1.0),
        ("1,200", "1, 200", 0.0),  # two numbers
        ("(1,200)", "1200", 0.0),
        ("33%", "0.33%", 0.0),
        ("x=5", "5", 1.0),
        ("999", "\uff19" * 3, 1.0),  # digits of another width
        ("", "161", None),  # no gold: cannot be judged
        ("  ", "161", None),
        (float("nan"), "161", None),  # as pandas writes a missing gold
        ("~", "161", None),  # math-verify can read nothing in it
    ],
)
def test_accuracy_compares_numbers_and_formulas_not_texts(gold, answer, score):
    assert Accuracy()(completion=answered(answer), answer=gold) == score


def test_the_answer_is_never_taken_from_the_think_block():
    assert Accuracy()(completion="<think>161</think><answer>160</answer>", answer="161") == 0.0


def test_a_gold_that_cannot_be_read_leaves_every_completion_of_its_question_out():
    judged = Accuracy().score_batch(
        [answered("~"), answered("1"), "malformed", answered("2")],
        [{"answer": "~"}] * 3 + [{"answer": "2"}],
    )
    assert judged.scores == [
        None,
        None,
        None,
        1.0,
    ]  # open-r1's length rewards take an unreadable gold for a right answer
    assert Accuracy()(completion=answered("1"), answer=None) is None
    assert (
        Accuracy()(completion=answered("1"), answer=10**5000) is None
    )  # longer than Python writes


PAIRS = [
    (gold, answer)
    for group in (
        ["3", "3.0", "03", "+3", r"\frac{3}{1}", "6/2", r"\sqrt{9}", "-3", "4", "3.5", "30"],
        ["3", "3%", r"3\%", "0.03", r"\frac{3}{1}", "6/2", "-3", "4", "300%", r"\frac{3}{100}"],
        [
            "1/3",
            r"\frac13",
            r"\frac{2}{6}",
            "0.333",
            "0.333333",
            "0.3333333333",
            "3^{-1}",
            r"\frac{1}{-3}",
            "1/4",
        ],
        ["1,000", "1000", "1000.00", "1{,}000", "10^3", "1001", r"\$1000", "1,000.5"],
        [
            r"2\sqrt{3}",
            r"\sqrt{12}",
            r"\frac{6}{\sqrt{3}}",
            r"\sqrt{3}+\sqrt{3}",
            r"3\sqrt{2}",
            r"\sqrt{13}",
            r"2 \cdot \sqrt{3}",
        ],
        [
            "(x+1)^2",
            "x^2+2x+1",
            "x^2 + 2x + 1",
            "(1+x)(x+1)",
            "x^2+2x-1",
            "x^2+1",
            "2x+1+x*x",
            "(y+1)^2",
        ],
        ["[0,1)", "[0, 1)", "(0,1)", "[0,1]", r"[0,\frac{2}{2})", "[0,2)", r"[0,\infty)", "(0,1]"],
        [r"\{1,2\}", r"\{2,1\}", r"\{1, 2, 2\}", r"\{1,3\}", r"\{1\}", r"\{1,2,3\}"],
        ["(1,-2)", "(1, -2)", "(-2,1)", r"(\frac{2}{2},-2)", "(1,2)"],
        [r"\frac{\pi}{2}", r"\pi/2", r"0.5\pi", r"\frac{1}{2}\pi", r"\pi", r"2\pi"],
        [
            r"\begin{pmatrix}1&-2\end{pmatrix}",
            r"\begin{bmatrix}1 & -2\end{bmatrix}",
            r"\begin{pmatrix}1\\-2\end{pmatrix}",
        ],
        [r"7\text{ cm}", "7", r"7^\circ", r"7\text{ miles}", r"8\text{ cm}"],
    )
    for gold in group
    for answer in group
]


def test_what_is_decided_without_math_verify_is_what_math_verify_says():
    from rewards.answers.math_verify_worker import equal

    decided = {}
    for gold, answer in PAIRS:
        comparison = compare(normalize(gold), normalize(answer))
        if comparison is not Comparison.UNDECIDED and "$" not in gold + answer:
            decided[gold, answer] = comparison is Comparison.SAME
    assert len(decided) > 0.8 * len(PAIRS)  # most need no second opinion
    for (gold, answer), is_same in decided.items():
        assert equal(gold, answer) == is_same, (gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("161", "160=161", False),  # it compares the last side of a false equation
        ("161", "20*7=161", False),
        ("31,207", "31,207%", True),  # it reads the set of 31 and 2.07, where 31207% is like 207%
        ("[8,-7)", "[9,-7)", False),  # two empty intervals
        ("a", "a+0", True),  # it compares a letter with the text of a sum
        ("12.5%", "12.5", True),  # it equates percentages with whole numerals only
        (r"1.6 \times 10^{-19}", r"9.1 \times 10^{-31}", False),  # it rounds to six places
        (r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}", False),
        (r"\frac{1}{100!}", r"\frac{1}{99!}", False),
        (r"2516_8", "2516_9", False),  # it leaves out the base
        ("7", "< 7", False),  # and the relation
        ("7", "the answer is not 7", False),
        ("7", r"-\boxed{7}", False),  # and what stands around a box
        ("49", r"\boxed{7}^2", True),
        ("5", r"5\text{ million}", False),  # it takes it for a unit
        ("A B C", "C B A", False),  # it multiplies letters
        ("1000000", r"1\,000\,000", True),  # it does not know LaTeX's thin space, or these
        ("300000", "3e5", True),
        ("5", "\u20ac5", True),
        ("-5", "\u20135", True),
        ("1/2", "\u00bd", True),
        ("5", "**5**", True),
        (r"\$18", "18", True),  # it does not know the escaped dollar
    ],
)
def test_where_math_verify_is_plainly_wrong_the_verdict_differs(gold, answer, right):
    from math_verify import verify

    from rewards.answers.math_verify_worker import _parse, _parse_gold

    assert (
        verify(_parse_gold(gold), _parse(answer), timeout_seconds=None) != right
    )  # if this fails, the exception is not needed any more
    assert Accuracy()(completion=answered(answer), answer=gold) == float(right)


@pytest.mark.parametrize(
    "text",
    ["1/2x", "x2", "2 3", "f(x)", r"1\frac{1}{2}", "cat", "e^x", "2i", "x^y", "1/0", "1/(1+x)",
     r"\sqrt{x}", r"\sin{x}", "x=1", "", "(" * 50 + "1" + ")" * 50, "9^{9999}", "(((9^9)^9)^9)^9",
     "2^3^4", "x^", "(1", "1)", "1" * 201, r"\frac1"],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_or_costs_too_much_is_not_read(text):
    with pytest.raises(Unparsable):
        parse_polynomial(text)


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "text",
    ["x^{4000}" * 25, "(" + "x^{4000}," * 5000 + "1)", "(" + "1," * 500_000 + "1)",
     r"\begin{pmatrix}" + "1&" * 500_000 + r"1\end{pmatrix}",
     r"\{" + r"\sqrt{99999989}," * 40_000 + r"1\}", r"\boxed{" * 150_000, " " * MEGABYTE + "x",
     "$" * MEGABYTE, "1" * MEGABYTE, "<think>" * 150_000, "\ud800" * 300_000,
     "-" * MEGABYTE, "a " * 500_000, r"\text{" * 200_000,
     "1" + "\n" * MEGABYTE + "x",  # spaces where spaces are optional
     "$" + "~" * MEGABYTE + "x",
     "1" + " \n" * 500_000 + "dozen x",
     "1}" + r"\ " * 500_000 + "cm x",
     "\u221a" + " " * MEGABYTE + "x",
     r"\boxed" + " " * MEGABYTE + "x",
     r"\\[1ex" * 200_000,  # brackets, braces and boxes that nobody closes
     r"\text{ cm" * 100_000,
     r"\boxed {1" * 100_000,
     "not " * 250_000, "1_" * 500_000, "1,2/3 " * 160_000, r"x\in" * 250_000, r"\pm" * 300_000],
    ids=lambda text: text[:12].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_no_answer_keeps_the_training_process_busy(text):
    started = time.process_time()
    compare("3", normalize(text))
    parse_completion(answered(text))
    flexible_completion(text)
    # What takes longer is for the worker processes, which have a limit.
    assert time.process_time() - started < 4


@pytest.mark.parametrize(
    "text", ["$" + " " * 900, "- " * 450, "1" + " " * 990, "a " * 490 + "dozen"]
)
def test_no_short_answer_is_slow_to_read_either(text):
    started = time.process_time()
    for attempt in range(20):
        read_value(f"{text}{attempt}")  # as it is, without `normalize`
        clearly_differ(f"{text}{attempt}", "3")
    assert time.process_time() - started < 1


def test_boxes_are_found_in_one_pass():
    assert boxed(r"\boxed{1} and \boxed{\frac{1}{2}} and \boxed{3") == ["1", r"\frac{1}{2}"]
    assert boxed(r"\boxed{\{1,2\}}") == [r"\{1,2\}"]
    started = time.process_time()
    boxed("\\boxed{" * 100_000 + "}" * 100_000)
    assert time.process_time() - started < 5


HANGING = [
    r"9^{9^{9^{9}}}",
    "(" * 2000 + "3" + ")" * 2000,
    "{" * 2000 + "3" + "}" * 2000,
    "+".join(f"{n}!" for n in range(1000, 3000)),
]


@pytest.mark.parametrize("where", ["the main thread", "another thread"])
def test_answers_built_to_hang_score_zero_are_counted_and_touch_no_other_completion(where):
    # The gold is a formula: as the answer of a number, none of them would be read at all.
    texts = [answered(rf"\boxed{{{text}}}") for text in [r"\sin x", *HANGING, r"\sin(x)"]]
    results, metrics = [], {}

    def judge():
        (function,), _ = build_rewards(["accuracy"])
        columns = {
            "completions": texts,
            "answer": [r"\sin{x}"] * len(texts),
            "log_metric": metrics.__setitem__,
        }
        results.extend(function(**columns))

    if where == "the main thread":
        judge()
    else:  # verl scores everything 0 there: math-verify's own limits only work in the main thread
        thread = threading.Thread(target=judge)
        thread.start()
        thread.join()
    assert results == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    # Some of them fail by themselves, faster than the limit.
    assert metrics["rewards/accuracy/timed_out"] in (2 / 6, 3 / 6, 4 / 6)


def test_a_gold_built_to_hang_is_left_out():
    assert (
        Accuracy(timeout_seconds=0.5)(
            completion=answered("x"), answer="(" * 2000 + "3" + ")" * 2000
        )
        is None
    )
