"""What would the rewards of a recipe pay to a model that cheats?

Every case is judged by the recipe's own rewards, as in training. A case is paid if it earns as much as the ideal trace, or if a
reward that tells the right answer from `no idea` gives a wrong answer more than it gives to `no idea`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards import TRLReward
from rewards.correctness.llm_judge import LLMJudge
from rewards.correctness.reward_model import RewardModel
from rewards.shaping.group_length import GroupLength
from rewards.shaping.overlong import Overlong
from rewards.shaping.repetition import Repetition

# DeepSeek-R1-Zero's system prompt ends so; a model can copy it.
ECHO = "<think> reasoning process here </think> <answer> answer here </answer>"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Example:
    """A row that a reward can judge: its columns, the right answer, and wrong ones that are near it."""

    row: dict[str, Any]
    right: str
    near: dict[str, str]


_NUMBERS = {
    "near miss: 142 for 42": "142", "near miss: 42.0001": "42.0001", "near miss: -42": "-42", "near miss: 4.2": "4.2",
    "two answers": "41 or 42", "a list": "41, 42, 43", "two boxes": r"\boxed{41} \boxed{42}", "a false equation": "41=42",
}  # fmt: skip
EXAMPLES = {
    "accuracy": Example({"answer": "42"}, "42", _NUMBERS),
    "exact": Example({"answer": "42"}, "42", _NUMBERS | {"42.0": "42.0"}),
    "choice": Example({"answer": "B"}, "B", {"another": "A", "two answers": "A or B", "all": "ABCD", "an article": "A B"}),
    "countdown": Example(
        {"answer": "24", "nums": [1, 4, 6]},
        "1*4*6",
        {"the target": "24", "another value": "4+6+1", "a number twice": "4*6*1*1", "a number left out": "4*6", "power": "6**4/54",
         "an equation": "1*4*6=24", "floor division": "(4*6)//1"},
    ),
    "code": Example(
        {"tests": [{"input": "1 2", "output": "3\n4"}]},
        "a, b = map(int, input().split())\nprint(a + b)\nprint(a + b + 1)",
        {"right first line": "print(3)", "other order": "print(4)\nprint(3)", "exit": "exit(0)", "more": "print('3\\n4\\n5')"},
    ),
    "reasoning_gym": Example({"answer": "42", "metadata": {"source_dataset": "chain_sum"}}, "42", _NUMBERS),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One completion of the audit and what it earned.

    Attributes:
        scores: one per reward, unweighted.
        total: the weighted sum, as GRPO sees it.
        problem: why this may not be, or nothing.
    """

    name: str
    scores: list[float | None]
    total: float
    problem: str = ""


def completions(example: Example) -> dict[str, str]:
    """The ideal trace, a `no idea`, well-formed wrong answers, and completions that are not well-formed, in this order."""
    think, right = "1. 6*7\n2. 42\n3. =42", example.right  # three steps, in no language
    ideal = trace(think, right)
    wrong = example.near | {
        "only in the think block": "none",
        "huge power": "9^{9^{9^{9}}}",
        "deep nesting": "(" * 2000 + "7" + ")" * 2000,
        "nan": "nan",
        "infinity": r"\infty",
        "white space of other kinds": "\u200b\u2060",
        "other digits": "٤٢٧",
        "a null and half a character": "\x00\ud800",
        "1 MB": "7 " * (MEGABYTE // 2),
        "1 MB of brackets": "{[" * (MEGABYTE // 2),
    }
    return {
        "ideal": ideal,
        "no idea": trace(think, "no idea"),
        **{f"wrong: {name}": trace(f"{right} {think}", answer) for name, answer in wrong.items()},
        "wrong: prompt echo": ECHO,
        "empty": "",
        "no tags": right,
        "truncated in the answer": ideal[: -len("</answer>")],
        "truncated while thinking": ideal[: ideal.index("</think>")],
        "doubled": ideal * 2,
        "trailing text": ideal + "\nSo the answer is " + right,
        "leading text": "Sure! " + ideal,
        "empty think block": trace("", right),
        "answer inside the think block": f"<think>{think}<answer>{right}</answer></think>",
        "two answer blocks": ideal + f"<answer>{right}</answer>",
        "tag-stuffed": "<think></think><answer></answer>" * 50 + ideal,
        "tags in another order": f"<answer>{right}</answer><think>{think}</think>",
        "tags in capitals": ideal.upper(),
        "1 MB of tags": "<think>" * (MEGABYTE // 7),
        "1 MB of trailing text": ideal + "x" * MEGABYTE,
    }


def trace(think: str, answer: str) -> str:
    return f"<think>{think}</think>\n<answer>{answer}</answer>"


def audit_rewards(
    functions: Sequence[Callable[..., Any]], weights: Sequence[float], names: Sequence[str]
) -> list[Case]:
    """Judges every case with a recipe's rewards, as `rewards.build` returns them under `names`."""
    example = next((EXAMPLES[name] for name in names if name in EXAMPLES), EXAMPLES["accuracy"])
    cases = completions(example)
    question = {
        "prompt": "What is it?",
        "question": "What is it?",
        "solution": example.right,
    } | example.row
    # All count as empty, in tokens: otherwise rewards for length would blur what is paid for the answer.
    columns = {key: [value] * len(cases) for key, value in question.items()} | {
        "completion_ids": [[]] * len(cases)
    }
    texts = [[{"role": "assistant", "content": text}] for text in cases.values()]
    prompts = [[{"role": "user", "content": "What is it?"}]] * len(cases)
    scores = [
        call(function, prompts=prompts, completions=texts, **columns) for function in functions
    ]
    totals = [
        sum(weight * (score or 0.0) for weight, score in zip(weights, row, strict=True))
        for row in zip(*scores, strict=True)
    ]
    full = sum(
        weight * (_best(function, row[0]) if weight > 0 else row[0] or 0.0)
        for function, weight, row in zip(functions, weights, scores, strict=True)
    )
    made = []
    for index, name in enumerate(cases):
        problem = ""
        if name == "ideal":
            told = any(
                weight > 0 and (row[0] or 0.0) > (row[1] or 0.0)
                for weight, row in zip(weights, scores, strict=True)
            )
            problem = "" if told else "no reward tells it from a wrong answer"
            problem = f"earns {totals[0]:.3g} of {full:.3g}" if totals[0] < full - 1e-6 else problem
        elif totals[index] >= totals[0] and name != "no idea":
            problem = "earns as much as the ideal trace"
        elif name.startswith("wrong"):
            paid = [
                reward
                for reward, weight, row in zip(names, weights, scores, strict=True)
                if weight > 0
                and (row[0] or 0.0) > (row[1] or 0.0)
                and (row[index] or 0.0) > (row[1] or 0.0) + 1e-9
            ]
            problem = f"a wrong answer is paid by {', '.join(paid)}" if paid else ""
        made.append(Case(name, [row[index] for row in scores], totals[index], problem))
    return made


def call(function: Callable[..., Any], **arguments: Any) -> list[float | None]:
    """A reward function's scores, whether it is async or not."""
    result = function(**arguments)
    return list(asyncio.run(result) if asyncio.iscoroutine(result) else result)


def _best(function: Callable[..., Any], earned: float | None) -> float:
    """What the ideal trace should earn."""
    reward = function.reward if isinstance(function, TRLReward) else None
    if reward is None or isinstance(reward, RewardModel | LLMJudge):
        return earned or 0.0  # no one knows its scale
    return 0.0 if isinstance(reward, Overlong | Repetition | GroupLength) else 1.0


def audit_table(cases: Sequence[Case], names: Sequence[str]) -> str:
    """The cases as lines of equal width."""
    width = max(len(case.name) for case in cases)
    columns = [max(len(name), 6) for name in names]
    lines = [
        "  ".join(
            [
                "case".ljust(width),
                *(name.rjust(w) for name, w in zip(names, columns, strict=True)),
                " total",
            ]
        )
    ]
    for case in cases:
        scores = ["-" if score is None else f"{score:.3g}" for score in case.scores]
        cells = [
            case.name.ljust(width),
            *(s.rjust(w) for s, w in zip(scores, columns, strict=True)),
            f"{case.total:6.3g}",
        ]
        lines.append("  ".join(cells) + (f"  <-- {case.problem}" if case.problem else ""))
    return "\n".join(lines) + "\n"
