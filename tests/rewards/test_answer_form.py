"""What an answer may look like: which spellings of a right answer are paid, and which are not."""

import pytest

from rewards.correctness.accuracy import Accuracy
from tests.support.commands import answered


def assert_scores(gold, rows):
    """Every answer of a table gets its score; one batch, as in training."""
    completions = [answered(answer) for answer, _ in rows]
    scores = Accuracy(timeout_seconds=20).score_batch(completions, [{"answer": gold}] * len(rows))
    given = {answer: score for (answer, _), score in zip(rows, scores.scores, strict=True)}
    assert given == dict(rows)


def test_a_number_takes_no_calculation_that_the_question_may_have_given():
    assert_scores(
        "166",
        [
            ("23*7+5", 0.0),  # the demo's own question
            ("160+6", 0.0),
            (r"2\cdot 83", 0.0),
            ("2 x 83", 0.0),
            ("332/2", 0.0),  # a division that nobody has done
            (r"\frac{332}{2}", 0.0),
            ("13^2-3", 0.0),
            (r"\log_{10} 10^{166}", 0.0),
            (r"\binom{166}{1}", 0.0),
            (r"\lim_{x\to 166} x", 0.0),
            (r"\int_0^1 166\,dx", 0.0),
            (r"\gcd(166,332)", 0.0),
            (r"\sqrt{160^2+1956}", 0.0),  # a sum under a root
            ("166!/165!", 0.0),
            ("1.66e2", 1.0),  # other forms of one number
            (r"1.66\times 10^2", 1.0),
            ("1.66 x 10^2", 1.0),
            (r"\sqrt{27556}", 1.0),
            (r"166^1", 1.0),
            ("one hundred sixty-six", 1.0),
            ("23*7+5=166", 1.0),  # the result is there
            ("23*7+5=167", 0.0),
            ("23*7=166", 0.0),  # false
        ],
    )


def test_a_fraction_takes_no_calculation_either():
    assert_scores(
        r"\frac{1}{3}",
        [
            (r"\int_0^1 x^2\,dx", 0.0),
            ("1/2-1/6", 0.0),
            (r"0.\overline{3}", 1.0),  # repeating decimals
            (r"0.\bar{3}", 1.0),
            ("0.(3)", 1.0),
            ("2/6", 1.0),
            ("3^{-1}", 1.0),
            ("0.33", 0.0),
            ("0.333...", 0.0),  # how does it go on?
        ],
    )


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("(2,6)", "|x-4|<2", 0.0),  # inequalities that are the question
        ("(1,2)", "x^2-3x+2<0", 0.0),
        (r"(5,\infty)", r"\frac{1}{x-5}>0", 0.0),
        (r"(2,\infty)", "2x>4", 0.0),
        (r"(2,\infty)", "2<x", 1.0),  # solved ones
        ("(1,2)", "2>x>1", 1.0),
        ("[1,2]", r"1 \leqslant x \leq 2", 1.0),
        ("[1,2]", "1<x<2", 0.0),
        (r"(-\infty,2)\cup(3,\infty)", r"x<2 \text{ or } x>3", 1.0),
        (r"(-\infty,2)\cup(3,\infty)", r"x<2 \text{ or } x\ge 3", 0.0),
        (r"(-\infty,2)\cup(3,\infty)", "(-\u221e,2)\u222a(3,\u221e)", 1.0),  # Unicode
        ("1<x<2", "x^2-3x+2<0", 0.0),
        ("1,2", "1<x<2", 0.0),  # an interval is no list
        ("1,2", "x=1 or x=2", 1.0),
        ("1,2", "x^2-3x+2=0", 0.0),
        ("2x", r"\frac{d}{dx} x^2", 0.0),
        ("2x", "y=2x", 1.0),
        (r"\frac{n(n-1)}{2}", r"\binom n2", 1.0),
        (r"\mathbb{R}", r"\pm\infty", 0.0),
        (r"\mathbb{R}", r"(-\infty,\infty)", 1.0),
        (r"\emptyset", "no solution", 1.0),
        (r"\emptyset", "0", 0.0),
        ("2+3i", r"2 + 3\mathrm{i}", 1.0),
        ("-1", "i^2", 1.0),
        ("5", "|3+4i|", 1.0),
        ("5", "|3+2|", 0.0),
        (r"1 - \frac{1}{\mathrm{e}}", r"1 + \frac{1}{\mathrm{e}}", 0.0),
        (r"1:2:3:\ldots", r"1:4:9:\ldots", 0.0),  # a rest that nobody can compare
        ("4", r"4\sqrt(2)", 0.0),
        ("x^2+C", "x^2+K", 1.0),  # any letter is a constant
        (r"\frac12\sin^2x+C", r"-\frac14\cos 2x+C", 1.0),  # and may hide another one
        (r"\frac12\sin^2x+C", r"-\frac14\cos 3x+C", 0.0),
        ("(3,5)", "x=3, y=5", 1.0),  # named components
        ("(3,5)", "y=3, x=5", 0.0),
        ("x=3,y=5", "y=5, x=3", 1.0),
        ("x=3,y=5", "5,3", 0.0),
        ("12:30", "2:5", 0.0),  # a time is no quotient
        ("12:30", "12:30", 1.0),
        ("0.4", "2:5", 0.0),
        ("2020-01-02", "2017", 0.0),  # a date is no difference
        ("2017", "2020-01-02", 0.0),
        ("2020-01-02", "2020-02-01", 0.0),
    ],
)
def test_the_form_of_other_golds_decides_as_well(gold, answer, score):
    assert Accuracy(timeout_seconds=20)(completion=answered(answer), answer=gold) == score


REST = [
    r"\Rightarrow", r"\mapsto", r"\iff ", r"\cup", r"\cap", r"\lor", r"\wedge", r"\mid ",
    r"\text{, }",
    r" \text{ or } ", r" \\ ", r"\quad ", r"\pm ", "\u2192", "\u2026", "\u3001", "|", "||", "...",
    "; ",
    "; or ", " (or ", ", ", " and ", " or ", " to ", "\n", "\n\n", " / ", ":", "$ $", " minus ",
    " times ",
]  # fmt: skip


@pytest.mark.parametrize("rest", REST)
@pytest.mark.parametrize("gold", ["417", "589", "7x"])
def test_no_part_of_an_answer_stays_unread(gold, rest):
    for left, right in (("417", "589"), ("7x", "9x")):
        text = f"${left}{rest}{right}$"
        assert Accuracy(timeout_seconds=20)(completion=answered(text), answer=gold) == 0.0


def test_a_statement_about_a_number_is_not_the_number():
    wrong = (
        r"< 7", r"\gt 7", r"\geq 7", "\u2265 7", r"\nless 7", r"\leqslant 7", r"\neq 7", "7!",
        "--7", "3..7",
        "7th", "7k", "7x", "7e3", "7\u2030", "3x=7", "x^2=7", "1/x=7", r"\log x=7", "3x+4y=7",
        "x+7=7",
        "2x+3=7", "[7]", "7 or so", "7 bn", "7 squared", "7 no 8", "7 to the power of two",
        "7 and a half", "7 at least", "7 dozen", "7 thousand", "7_8",
        "x>6", "(7", "7+", "7 is wrong", r"7\text{ is wrong}", "7? No.", "not 7", "\\sin x = 7",
    )  # fmt: skip
    assert_scores("7", [(answer, 0.0) for answer in wrong])


def test_a_number_may_say_what_it_counts():
    right = (
        "72 clips", r"72\text{ clips}", r"\boxed{72 clips}", "72 clips altogether in April and May",
        "72 years old", "72 dollars a day", "72 USD", "USD 72", "$72", "$72 per hour", r"$\$72$",
        "72\u20ac",
        "72 m/s", "72 km/h", "72 meters per week", "72 liters of water", r"72\,\text{km}",
        "72 km\u00b2",
        r"72^\circ", "$72$ apples", "72 clips (in all)", "72 pills left after 2 weeks",
        "72 students who do not like it", "72 more than Tom", "seventy-two", "72.",
    )  # fmt: skip
    assert_scores("72", [(answer, 1.0) for answer in right])
    assert_scores("73", [(answer, 0.0) for answer in right])


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("5 km", "5000 m", 1.0),  # the same length
        (r"5\text{ cm}", "50 mm", 1.0),
        (r"5\text{ cm}", "5 centimeters", 1.0),
        (r"5\text{ cm}", "5", 1.0),
        (r"5\text{ cm}", "5 m", 0.0),
        (r"5\text{ cm}", "5 apples", 0.0),
        (r"25\text{ cm}^2", r"25\text{ m}^2", 0.0),
        (r"25\text{ cm}^2", "25 square centimeters", 1.0),
        ("5 kg", "5 g", 0.0),
        (r"5\text{ hours}", "300 minutes", 1.0),
        (r"5\text{ hours}", "5 days", 0.0),
        (r"\$5", "5 cents", 0.0),
        (r"\$5", "500 cents", 1.0),
        (r"\$5", "\u20ac5", 0.0),
        (r"\$36", r"36^\circ", 0.0),
        (r"36^\circ", r"\$36", 0.0),
        (r"60\text{ mph}", "60 miles per hour", 1.0),
        (r"60\text{ mph}", "60 km/h", 0.0),
        ("5 pm", "5 am", 0.0),
        (r"5\%", "5 cm", 0.0),
        (r"\$32,\!348", r"$\$32,\!348$", 1.0),
        (r"9\pi", r"9\pi\text{ cm}^2", 1.0),
        (r"9\pi\text{ m}", r"9\pi\text{ cm}", 0.0),
    ],
)
def test_units_are_the_same_or_left_out(gold, answer, score):
    assert Accuracy(timeout_seconds=20)(completion=answered(answer), answer=gold) == score
