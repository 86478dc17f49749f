"""Answers that are proved different by their numbers alone, and those that must not be."""

import pytest

from rewards.answers.estimate import clearly_differ
from rewards.answers.normalize import normalize


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("6 - 5i", "6 + 5i"),  # complex numbers
        ("3, 5, 7", "3, 5"),  # a list and a part of it
        ("3, 5, 7", "7"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"\frac{\pi}{2}"),  # a point and its coordinate
        (r"(0,9) \cup (9,36)", "(0,36)"),
        (r"(2,12) \cup (12,102)", "2"),  # no thousands here
        (r"1 \pm \sqrt{19}", r"1+\sqrt{19}"),  # one of two roots
        (r"x \in [-2,7]", "(2,7)"),
        ("y = 2x + 3", "2x - 3"),
        ("x=5", "3"),
        ("5x - 7y + 4 = 0", "7"),  # neither side
        (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", "2/3"),
        (r"\cot x", r"\tan x"),
        ("2k+2", "2k"),
        (r"\text{Evelyn}", "12"),
        (r"\text{(C)}", "72"),
        ("52_8", "36"),  # neither its digits nor its value
        (r"864 \mbox{ inches}^2", "36"),
        ("(5,\\infty)", "5.1"),
        (r"\frac{1+\sqrt{5}}{1+\sqrt{2}}", r"\frac{1+\sqrt{5}}{1+\sqrt{3}}"),  # exact sums end here
        (r"\binom{n}{2}", "n^2"),
        (r"\frac{20000}{\pi}", "6366"),  # rounded to an integer
    ],
)
def test_answers_with_other_numbers_differ(gold, answer):
    assert clearly_differ(normalize(gold), normalize(answer))
    assert clearly_differ(normalize(answer), normalize(gold))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),  # equal, in another form
        (r"\frac{1}{1+\sqrt{2}}", r"\sqrt{2}-1"),
        (r"\frac{n(n-1)}{2}", r"\binom{n}{2}"),
        (r"\tan x", r"\frac{\sin x}{\cos x}"),
        (r"\frac{2}{3}", "0.666667"),  # rounded to six places
        ("-1", "i^2"),
        ("9%", "0.09"),  # two readings
        ("9%", "9"),
        ("52_8", "42"),
        (r"x^2+C", "x^2+K"),  # a free constant
        ("x=y+1", "y=x-1"),  # one equation, solved in two ways
        ("5x - 7y = 0", "10x = 14y"),
        ("[0,1]", r"0 \le x \le 1"),
        (r"(2,\infty)", "x > 2"),
        (r"\mathbb{R}", r"(-\infty,\infty)"),
        (r"\{1,2\}", "2, 1, 2"),
        ("x=1", "1"),
        ("15", r"15\mbox{ cm}^2"),  # units do not count
        ("10", "10 kg"),
        ("260", "260 sheep"),  # the e is a letter of a word, not Euler's number
        ("540", "540 meters"),
        ("5", "five"),  # words that are numbers
        ("42", "forty-two"),
        ("5000000", "5 million"),
        ("1/2", "half"),
        (r"\emptyset", "none"),
        ("1,200", "1200"),
        ("(1,200)", "1200"),  # thousands, or a pair
        (r"2+3i", r"2+3\mathrm{i}"),
        (r"\sqrt[3]{8}", "2"),  # not read
        (r"\log 100", "2"),
        (r"\sin \pi", "0"),  # only rounding errors are left
        (r"\sqrt{2+\sqrt{2}}+10^{20}-10^{20}", r"\sqrt{2+\sqrt{2}}"),
        (r"e^{i\pi}+1", "0"),
        ("zyx", "xyz"),
        (r"\frac{1}{x-x}", "1"),
        ("(" * 100 + "1" + ")" * 100, "2"),  # too deep
        ("9^{9^{9^{9}}}", "2"),  # too large
        ("1," * 400 + "1", "2"),  # too long
    ],
)
def test_answers_that_may_be_the_same_are_left_to_others(gold, answer):
    assert not clearly_differ(normalize(gold), normalize(answer))
    assert not clearly_differ(normalize(answer), normalize(gold))
