"""The accuracy reward against trl.rewards.accuracy_reward, both on the same completions in the same run.

    python -m benchmarks.bench_rewards [--completions 2000]

Prints a ratio for GSM8K-style golds, for a mix of LaTeX golds and for a batch of 64 of which 8 are built to hang, and every
verdict that differs. Groups of 8 completions share a question, as in GRPO; half of the answers are wrong;
each side sees each completion once, in batches of 64.
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable

Case = tuple[str, str, bool]  # gold, answer, and whether it was made to be right

GROUP = 8


def integers(rng: random.Random) -> tuple[str, list[str], list[str]]:
    """A gold as GSM8K writes it after `####`, right answers, wrong ones."""
    n = rng.choice(
        [rng.randrange(1, 100), rng.randrange(100, 10_000), rng.randrange(1_000, 10_000_000)]
    )
    gold = f"{n:,}" if rng.random() < 0.5 else str(n)
    return (
        gold,
        [f"{n}", f"{n:,}", f"{n}.00", f"{n}.0"],
        [f"{n + 1}", f"1{n}", f"{n}.5", f"-{n}", f"{10 * n}"],
    )


def fractions(rng: random.Random) -> tuple[str, list[str], list[str]]:
    a, b, k = rng.randrange(1, 40), rng.randrange(41, 99), rng.randrange(2, 5)
    right = [
        rf"\frac{{{a}}}{{{b}}}",
        rf"\dfrac{{{a}}}{{{b}}}",
        f"{a}/{b}",
        rf"\frac{{{a * k}}}{{{b * k}}}",
    ]
    return (
        right[0],
        right,
        [rf"\frac{{{b}}}{{{a}}}", rf"\frac{{{a + 1}}}{{{b}}}", f"{a}/{b + 1}", str(a)],
    )


def roots(rng: random.Random) -> tuple[str, list[str], list[str]]:
    a, b = rng.randrange(2, 30), rng.choice([2, 3, 5, 6, 7, 10, 11, 13])
    right = [
        rf"{a}\sqrt{{{b}}}",
        rf"{a} \sqrt{{{b}}}",
        rf"\sqrt{{{a * a * b}}}",
        rf"{a}\cdot\sqrt{{{b}}}",
    ]
    return (
        right[0],
        right,
        [rf"{a}\sqrt{{{b + 1}}}", rf"{a + 1}\sqrt{{{b}}}", rf"\sqrt{{{a * b}}}", str(a * b)],
    )


def intervals(rng: random.Random) -> tuple[str, list[str], list[str]]:
    a, b = rng.randrange(-20, 5), rng.randrange(6, 40)
    right = [f"[{a},{b})", f"[{a}, {b})", rf"\left[{a}, {b}\right)"]
    return right[0], right, [f"({a},{b})", f"[{a},{b}]", f"[{a},{b + 1})", rf"[{a},\infty)"]


def sets(rng: random.Random) -> tuple[str, list[str], list[str]]:
    a, b, c = rng.sample(range(-30, 60), 3)
    right = [rf"\{{{a},{b},{c}\}}", rf"\{{{a}, {b}, {c}\}}", rf"\{{{c},{a},{b}\}}"]
    return (
        right[0],
        right,
        [rf"\{{{a},{b}\}}", rf"\{{{a},{b},{c + 1}\}}", rf"\{{{a},{b},{c},{c + 2}\}}"],
    )


def polynomials(rng: random.Random) -> tuple[str, list[str], list[str]]:
    a, b = rng.randrange(1, 15), rng.randrange(1, 15)
    right = [
        f"x^2+{a + b}x+{a * b}",
        f"x^2 + {a + b}x + {a * b}",
        f"(x+{a})(x+{b})",
        f"{a * b}+{a + b}x+x^2",
    ]
    return (
        right[0],
        right,
        [
            f"x^2-{a + b}x+{a * b}",
            f"x^2+{a + b}x+{a * b + 1}",
            f"(x+{a})(x+{b + 1})",
            f"x^3+{a + b}x+{a * b}",
        ],
    )


def units(rng: random.Random) -> tuple[str, list[str], list[str]]:
    n, unit = rng.randrange(2, 900), rng.choice(["cm", "miles", "hours", "kg"])
    right = [rf"{n}\text{{ {unit}}}", rf"{n} \text{{ {unit}}}", rf"{n}\ \text{{{unit}}}", str(n)]
    return right[0], right, [rf"{n + 1}\text{{ {unit}}}", str(n + 3), rf"1{n}\text{{ {unit}}}"]


def matrices(rng: random.Random) -> tuple[str, list[str], list[str]]:
    a, b, c, d = (rng.randrange(-9, 20) for _ in range(4))

    def matrix(kind: str, d: int, space: str = "") -> str:
        return rf"\begin{{{kind}}}{a}{space}&{space}{b}{space}\\{space}{c}{space}&{space}{d}\end{{{kind}}}"

    right = [matrix("pmatrix", d), matrix("pmatrix", d, " "), matrix("bmatrix", d)]
    return (
        right[0],
        right,
        [matrix("pmatrix", d + 1), matrix("pmatrix", -d - 1), matrix("bmatrix", d + 2)],
    )


LATEX = (fractions, roots, intervals, sets, polynomials, units, matrices)


def cases(
    kinds: tuple[Callable[[random.Random], tuple[str, list[str], list[str]]], ...],
    count: int,
    seed: int,
) -> list[Case]:
    rng, made = random.Random(seed), []
    for index in range(count // GROUP):
        gold, right, wrong = kinds[index % len(kinds)](rng)
        for n in range(GROUP):
            made.append((gold, rng.choice(wrong if n % 2 else right), n % 2 == 0))
    return made


def hanging(seed: int) -> list[Case]:
    """A batch of 64: 8 answers built to hang, 56 usual ones."""
    built = [
        "9^{9^{9^{9}}}", "7^{8^{9^{9}}}", "(" * 2000 + "3" + ")" * 2000, "[" * 2000 + "3" + "]" * 2000,
        "{" * 2000 + "3" + "}" * 2000, "+".join(f"{n}!" for n in range(1000, 3000)), "9999999!", r"\sum_{k=1}^{99999999} k!",
    ]  # fmt: skip
    batch = cases((integers, *LATEX), 64, seed)
    for index, answer in enumerate(built):
        batch[8 * index + 1] = (batch[8 * index][0], answer, False)
    return batch


def completions(batch: list[Case]) -> list[list[dict[str, str]]]:
    think = (
        "Natalia sold 48/2 = 24 clips in May. Together she sold 48+24 = 72 clips in April and May, and so on. "
        * 3
    )
    texts = [
        f"<think>{think}</think><answer>\\boxed{{{answer}}}</answer>" for _, answer, _ in batch
    ]
    return [[{"role": "assistant", "content": text}] for text in texts]


def compare(name: str, batch: list[Case], goal: str) -> None:
    from trl.rewards import accuracy_reward

    from rewards import build_rewards

    (ours,), _ = build_rewards(["accuracy"])
    judged = completions(batch)
    golds = [f"${gold}$" for gold, _, _ in batch]
    started = time.perf_counter()
    our_scores = []
    for at in range(0, len(batch), 64):
        our_scores += ours(completions=judged[at : at + 64], answer=golds[at : at + 64])
    ours_seconds = time.perf_counter() - started
    started = time.perf_counter()
    their_scores = accuracy_reward(completions=judged, solution=golds)
    theirs_seconds = time.perf_counter() - started
    different = [
        (*case, a, b) for case, a, b in zip(batch, our_scores, their_scores, strict=True) if a != b
    ]
    surprising = sum(
        bool(score) != right for (_, _, right), score in zip(batch, our_scores, strict=True)
    )
    write = sys.stdout.write
    write(
        f"{name}: {theirs_seconds / ours_seconds:.1f} times as fast ({goal})\n"
        f"    ours {len(batch) / ours_seconds:,.0f} completions/s ({ours_seconds:.2f} s), "
        f"TRL {len(batch) / theirs_seconds:,.0f} ({theirs_seconds:.2f} s)\n"
        f"    equal verdicts {1 - len(different) / len(batch):.2%}; {surprising} of ours differ from how the answer was made\n"
    )
    for gold, answer, right, our_score, their_score in different:
        made = "right" if right else "wrong"
        write(
            f"    gold {gold!r}, answer {answer[:60]!r}, made {made}: ours {our_score}, TRL {their_score}\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--completions", type=int, default=2000)
    count = parser.parse_args().completions
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse, verify

    from rewards import build_rewards

    verify(
        parse(r"$\frac{1}{2}$"), parse(r"$\sqrt{2}$")
    )  # both sides start warm: imports and the first worker are paid
    build_rewards(["accuracy"])[0][0](
        completions=["<think>a</think><answer>$x$</answer>"], answer=[r"\sqrt{2}"]
    )
    compare("GSM8K-style golds", cases((integers,), count, seed=1), "goal: 50")
    compare("LaTeX golds", cases(LATEX, count, seed=2), "goal: 8")
    compare("64 completions, 8 of them built to hang", hanging(seed=3), "goal: ours under 5 s")


if __name__ == "__main__":
    sys.exit(main())
