"""Generated gold answers in the forms of competition mathematics, for bench_rewards.

They have no wrong answers of their own: `generate_crossed_cases` takes golds of other questions.
"""

import random

from benchmarks.reward_cases import Question, fraction, integer, interval, polynomial


def surd(rng: random.Random) -> Question:
    """A number and a root, as quadratic equations have them."""
    a = rng.randrange(2, 30)
    b = rng.randrange(2, 12)
    c = rng.choice([2, 3, 5, 6, 7, 10, 11, 13])
    gold = rf"{a}+{b}\sqrt{{{c}}}"
    return Question(gold, correct=[gold, rf"{a} + {b} \sqrt{{{c}}}"], wrong=[])


def multiple_of_pi(rng: random.Random) -> Question:
    a = rng.randrange(2, 300)
    gold = rf"{a}\pi"
    return Question(gold, correct=[gold, rf"{a} \pi", rf"{a}\cdot\pi"], wrong=[])


def degrees(rng: random.Random) -> Question:
    a = rng.randrange(2, 180)
    gold = rf"{a}^\circ"
    return Question(gold, correct=[gold, str(a), rf"{a}^{{\circ}}"], wrong=[])


def competition(rng: random.Random) -> Question:
    """One of the forms that answers in competitions have, with numbers of its own."""
    a, b, c = sorted(rng.sample(range(2, 60), 3))
    gold = rng.choice(
        [
            rf"\left( {a}, \frac{{\pi}}{{{b}}} \right)",
            rf"{a} - {b}i",
            rf"{a} \pm {b}\sqrt{{{c}}}",
            f"{a}, {b}, {c}",
            f"({a},-{b},{c})",
            rf"(-\infty, {a}) \cup ({b}, \infty)",
            rf"x \in [{a},{b}]",
            f"y = {a}x + {b}",
            f"{a}x - {b}y + {c} = 0",
            rf"\begin{{pmatrix}} {a} \\ -{b} \\ 1/{c} \end{{pmatrix}}",
            rf"\frac{{{a} + {b}\sqrt{{{c}}}}}{{7}}",
            rf"\frac{{{a}+{b}t}}{{{c}}}",
            f"({a}p + {b})(q - {c})",
            rf"{a}\text{{ cm}}^2",
            rf"\$ {a}.{b}",
            f"{a},{b + 100}",
            rf"{a}_{{8}}" if "8" not in str(a) and "9" not in str(a) else rf"\sqrt[3]{{{a}}}",
            rf"\sin {a}x",
            rf"\text{{{rng.choice(['Evelyn', 'east', 'ellipse', '(C)', 'odd'])}}}",
            rf"2^{{{a}}} - 1",
            rf"\binom{{{c}}}{{{a}}}",
            rf"{a}\frac{{1}}{{{b}}}",
        ]
    )
    return Question(gold, correct=[gold, f" {gold} "], wrong=[])


# The generators of a benchmark, each for an equal share of the questions.
MIXED = (integer, fraction, surd, interval, polynomial, multiple_of_pi, degrees)
MATH = (integer, competition, integer, competition, fraction, integer, surd, competition)
