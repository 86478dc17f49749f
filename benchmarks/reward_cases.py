"""Generated gold answers with correct and wrong answers, for bench_rewards.

A generator takes a random number generator and returns a `Question`. The first of its correct
answers is usually the gold answer as written; the others are spelled differently.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

GROUP_SIZE = 8  # completions per question, as in GRPO
BATCH_SIZE = 64


class Question(NamedTuple):
    """A gold answer, answers that equal it, and answers that do not."""

    gold: str
    correct: list[str]
    wrong: list[str]


class Case(NamedTuple):
    """One answer, and whether it was generated as a correct one."""

    gold: str
    answer: str
    is_correct: bool


Generator = Callable[[random.Random], Question]


def integer(rng: random.Random) -> Question:
    """A gold answer as GSM8K writes it after `####`."""
    # Small, medium and large numbers are equally frequent; half of all have thousands separators.
    small = rng.randrange(1, 100)
    medium = rng.randrange(100, 10_000)
    large = rng.randrange(1_000, 10_000_000)
    n = rng.choice([small, medium, large])
    gold = f"{n:,}" if rng.random() < 0.5 else str(n)
    return Question(
        gold,
        correct=[f"{n}", f"{n:,}", f"{n}.00", f"{n}.0"],
        wrong=[f"{n + 1}", f"1{n}", f"{n}.5", f"-{n}", f"{10 * n}"],
    )


def fraction(rng: random.Random) -> Question:
    a = rng.randrange(1, 40)
    b = rng.randrange(41, 99)
    k = rng.randrange(2, 5)
    gold = rf"\frac{{{a}}}{{{b}}}"
    return Question(
        gold,
        correct=[gold, rf"\dfrac{{{a}}}{{{b}}}", f"{a}/{b}", rf"\frac{{{a * k}}}{{{b * k}}}"],
        wrong=[rf"\frac{{{b}}}{{{a}}}", rf"\frac{{{a + 1}}}{{{b}}}", f"{a}/{b + 1}", str(a)],
    )


def root(rng: random.Random) -> Question:
    a = rng.randrange(2, 30)
    b = rng.choice([2, 3, 5, 6, 7, 10, 11, 13])
    gold = rf"{a}\sqrt{{{b}}}"
    return Question(
        gold,
        correct=[
            gold,
            rf"{a} \sqrt{{{b}}}",
            rf"\sqrt{{{a * a * b}}}",
            rf"{a}\cdot\sqrt{{{b}}}",
        ],
        wrong=[
            rf"{a}\sqrt{{{b + 1}}}",
            rf"{a + 1}\sqrt{{{b}}}",
            rf"\sqrt{{{a * b}}}",
            str(a * b),
        ],
    )


def interval(rng: random.Random) -> Question:
    a = rng.randrange(-20, 5)
    b = rng.randrange(6, 40)
    gold = f"[{a},{b})"
    return Question(
        gold,
        correct=[gold, f"[{a}, {b})", rf"\left[{a}, {b}\right)"],
        wrong=[f"({a},{b})", f"[{a},{b}]", f"[{a},{b + 1})", rf"[{a},\infty)"],
    )


def finite_set(rng: random.Random) -> Question:
    a, b, c = rng.sample(range(-30, 60), 3)
    gold = rf"\{{{a},{b},{c}\}}"
    return Question(
        gold,
        correct=[gold, rf"\{{{a}, {b}, {c}\}}", rf"\{{{c},{a},{b}\}}"],
        wrong=[rf"\{{{a},{b}\}}", rf"\{{{a},{b},{c + 1}\}}", rf"\{{{a},{b},{c},{c + 2}\}}"],
    )


def polynomial(rng: random.Random) -> Question:
    a = rng.randrange(1, 15)
    b = rng.randrange(1, 15)
    gold = f"x^2+{a + b}x+{a * b}"
    return Question(
        gold,
        correct=[
            gold,
            f"x^2 + {a + b}x + {a * b}",
            f"(x+{a})(x+{b})",
            f"{a * b}+{a + b}x+x^2",
        ],
        wrong=[
            f"x^2-{a + b}x+{a * b}",
            f"x^2+{a + b}x+{a * b + 1}",
            f"(x+{a})(x+{b + 1})",
            f"x^3+{a + b}x+{a * b}",
        ],
    )


def quantity(rng: random.Random) -> Question:
    """A number with a unit; the number alone is correct."""
    n = rng.randrange(2, 900)
    unit = rng.choice(["cm", "miles", "hours", "kg"])
    gold = rf"{n}\text{{ {unit}}}"
    return Question(
        gold,
        correct=[gold, rf"{n} \text{{ {unit}}}", rf"{n}\ \text{{{unit}}}", str(n)],
        wrong=[rf"{n + 1}\text{{ {unit}}}", str(n + 3), rf"1{n}\text{{ {unit}}}"],
    )


def matrix(rng: random.Random) -> Question:
    a, b, c, d = (rng.randrange(-9, 20) for _ in range(4))

    def latex(kind: str, last: int, space: str = "") -> str:
        rows = rf"{a}{space}&{space}{b}{space}\\{space}{c}{space}&{space}{last}"
        return rf"\begin{{{kind}}}{rows}\end{{{kind}}}"

    gold = latex("pmatrix", d)
    return Question(
        gold,
        correct=[gold, latex("pmatrix", d, " "), latex("bmatrix", d)],
        wrong=[latex("pmatrix", d + 1), latex("pmatrix", -d - 1), latex("bmatrix", d + 2)],
    )


# The generators of a benchmark, each for an equal share of the questions.
LATEX = (fraction, root, interval, finite_set, polynomial, quantity, matrix)


def generate_cases(generators: Sequence[Generator], count: int, seed: int) -> list[Case]:
    """Groups of `GROUP_SIZE` answers to one question; every other answer is wrong."""
    rng = random.Random(seed)
    cases = []
    for index in range(count // GROUP_SIZE):
        question = generators[index % len(generators)](rng)
        for member in range(GROUP_SIZE):
            # Correct ones first, so that a group always starts with one.
            is_correct = member % 2 == 0
            answers = question.correct if is_correct else question.wrong
            cases.append(Case(question.gold, rng.choice(answers), is_correct))
    return cases


def generate_crossed_cases(generators: Sequence[Generator], count: int, seed: int) -> list[Case]:
    """Groups of answers to one question, of which the wrong ones are golds of other questions."""
    rng = random.Random(seed)
    questions = [generators[index % len(generators)](rng) for index in range(count // GROUP_SIZE)]
    cases = []
    for question in questions:
        others = [other.gold for other in questions if other.gold != question.gold]
        for member in range(GROUP_SIZE):
            is_correct = member % 2 == 0
            answer = rng.choice(question.correct if is_correct else others)
            cases.append(Case(question.gold, answer, is_correct))
    return cases


def generate_hanging_batch(seed: int) -> list[Case]:
    """A batch of `BATCH_SIZE`, with one answer in each group that is built to hang a parser."""
    factorials = "+".join(f"{n}!" for n in range(1000, 3000))
    # Towers of powers, deep nesting, long sums, and numbers with millions of digits.
    hanging = [
        "9^{9^{9^{9}}}",
        "7^{8^{9^{9}}}",
        "(" * 2000 + "3" + ")" * 2000,
        "[" * 2000 + "3" + "]" * 2000,
        "{" * 2000 + "3" + "}" * 2000,
        factorials,
        "9999999!",
        r"\sum_{k=1}^{99999999} k!",
    ]
    # The second answer of each group is a wrong one, so half of the group stays correct.
    cases = generate_cases((integer, *LATEX), BATCH_SIZE, seed)
    for group, answer in enumerate(hanging):
        first = GROUP_SIZE * group
        cases[first + 1] = Case(cases[first].gold, answer, is_correct=False)
    return cases
