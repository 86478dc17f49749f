"""What stands around an answer: lead-ins and boxes, what takes them back, and how long it takes."""

import time

import pytest

from rewards.answers.answer_form import judge
from rewards.answers.numeral import read_numeral
from rewards.answers.sentence import bare_answer
from tests.rewards.test_answer_form import assert_scores


def test_what_stands_beside_a_box_counts():
    assert_scores(
        "3",
        [
            (r"\boxed{3}!", 0.0),
            (r"2 \times \boxed{3}", 0.0),
            (r"2\cdot\boxed{3}", 0.0),
            (r"\boxed{3}\pi", 0.0),
            (r"\boxed{3} - 1", 0.0),
            (r"\boxed{3}_5", 0.0),
            (r"\boxed{3}.5", 0.0),
            (r"1\boxed{3}", 0.0),
            (r"\log \boxed{3}", 0.0),
            (r"2^{\boxed{3}}", 0.0),
            (r"\frac{1}{\boxed{3}}", 0.0),
            (r"\boxed{3}\times 10^5", 0.0),
            (r"x \ne \boxed{3}", 0.0),
            (r"x<\boxed{3}", 0.0),
            (r"\boxed{3}k", 0.0),
            (r"\boxed{3} million", 0.0),
            (r"\boxed{3} or 4", 0.0),
            (r"\boxed{3}, 4", 0.0),
            (r"2x=\boxed{3}", 0.0),
            (r"half of \boxed{3}", 0.0),
            (r"more than \boxed{3}", 0.0),
            (r"\boxed{3} is wrong, it is 4", 0.0),
            (r"The answer is definitely not \boxed{3}, it is 4", 0.0),
            (r"x=\boxed{3}", 1.0),
            (r"\boxed{3} apples", 1.0),
            (r"\boxed{3}\text{ cm}", 1.0),
            (r"$\$\boxed{3}$", 1.0),
            (r"\boxed{3 \text{ apples}}", 1.0),
            (r"We count not 2 of them. Therefore, there are $\boxed{3}$ ways in all.", 1.0),
            (r"1+1+1=\boxed{3}", 1.0),
            (r"1+1=\boxed{3}", 0.0),
        ],
    )


def test_a_sentence_is_its_lead_in_and_a_bare_answer():
    assert_scores(
        "417",
        [
            ("The answer is 417.", 1.0),
            ("So the final answer is: $417$", 1.0),
            ("**Final Answer:** 417 apples", 1.0),
            ("Final Answer: The final answer is $417$. I hope it is correct.", 1.0),
            ("First 400 come, and then 17 more of them. Therefore, the total is 417.", 1.0),
            ("Total: 417", 1.0),
            ("Total = 417", 1.0),
            ("417 is the answer", 1.0),
            ("Tom has 417 apples.", 1.0),
            ("```417```", 1.0),
            ("<b>417</b>", 1.0),
            ("The answer isn't 417, it is 589", 0.0),
            ("The answer can't be 417", 0.0),
            ("The answer 417 is wrong, it is 589", 0.0),
            ("The answer is half of 417", 0.0),
            ("The answer is twice 417", 0.0),
            ("The answer is less than 417", 0.0),
            ("The answer is at least 417", 0.0),
            ("The answer is between 400 and 417", 0.0),
            ("The answer is either 417 or 589", 0.0),
            ("The answer is log 417", 0.0),
            ("The answer is - 417", 0.0),
            ("The answer is 417!", 0.0),
            ("The answer is 417 million", 0.0),
            ("The answer is 417 times 589", 0.0),
            ("The answer is 417, 589", 0.0),
            ("Is the answer 417?", 0.0),
            ("589 answer 417", 0.0),
            ("589. The final answer is 417", 0.0),  # no solution before it, but another answer
            ("417 is not the answer", 0.0),
        ],
    )
    assert_scores("Yes", [("Yes.", 1.0), ("The answer is yes.", 1.0), ("No", 0.0)])
    assert_scores("Paris", [("It is Paris.", 1.0), ("not Paris", 0.0)])


@pytest.mark.parametrize(
    "text",
    ["a " * 100_000, "$" * 200_000, "**" * 100_000, "\\boxed{3}" * 20_000,
     "the final answer " * 9000,
     "\\text{" * 30_000, "<b>" * 60_000, "So " * 60_000, "7 " + "clips " * 30_000, "\n" * 200_000,
     "a" * 9_990, "$a$ " * 2_400, "\\boxed{3}" + "a" * 9_900,
     " " * 9_000 + "\\boxed{3}" + " " * 900,
     "7 " + "a" * 290, "(" * 290, "7" * 290, "7," * 145, "x=" * 4_000, "not " * 2_400,
     "**a" * 3_000],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)  # fmt: skip
def test_reading_an_answer_takes_linear_time(text):
    started = time.monotonic()
    bare_answer(text)
    read_numeral(text)
    judge("7", text)
    judge("x^2+1", text)
    assert time.monotonic() - started < 5  # quadratic time would take minutes
