"""Audits rewards: what they would pay to a model that cheats.

Every case is scored by the rewards themselves, as in training. A case is a problem if it earns as
much as the ideal completion, or if a reward that tells the right answer from `no idea` pays a wrong
answer more than `no idea`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards import build_rewards
from rewards.audit_cases import (
    IDEAL,
    NO_IDEA,
    WRONG,
    AuditExample,
    audit_completions,
    make_completion,
    question_echoes,
)
from rewards.correctness.accuracy import Accuracy
from rewards.trl_adapter import ColumnRewardFunction, RewardFunction, call_reward_function

# Smaller differences are rounding: of one score, and of the weighted sum.
SCORE_TOLERANCE = 1e-9
TOTAL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Case:
    """One completion of the audit and what it earned.

    Attributes:
        scores: one per reward, without the weight.
        total: the weighted sum, as GRPO sees it; `None` counts as 0.
    """

    name: str
    scores: list[float | None]
    total: float


@dataclass(frozen=True)
class AuditedReward:
    """A reward under audit; `best_score` is `None` where its scale is unknown."""

    name: str
    weight: float
    best_score: float | None


@dataclass(frozen=True)
class Audit:
    """The cases of an audit, in order, and the problem of each that has one, by its name."""

    rewards: list[AuditedReward]
    cases: list[Case]
    problems: dict[str, str]

    def table(self) -> str:
        """One line of equal width per case: its scores, the total, and its problem."""
        # Columns are as wide as the longest name and the widest score.
        name_width = max(len(case.name) for case in self.cases)
        widths = [max(len(reward.name), 6) for reward in self.rewards]
        header = ["case".ljust(name_width)]
        for reward, width in zip(self.rewards, widths, strict=True):
            header.append(reward.name.rjust(width))
        lines = ["  ".join([*header, " total"])]

        # A reward that cannot score the row shows a dash.
        for case in self.cases:
            cells = [case.name.ljust(name_width)]
            for score, width in zip(case.scores, widths, strict=True):
                text = "-" if score is None else f"{score:.3g}"
                cells.append(text.rjust(width))
            line = "  ".join([*cells, f"{case.total:6.3g}"])
            if case.name in self.problems:
                line += f"  <-- {self.problems[case.name]}"
            lines.append(line)
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        return f"{len(self.cases)} cases, {len(self.problems)} with a problem"


def audit_rewards(
    entries: Sequence[dict[str, Any] | str], questions: Sequence[dict[str, Any]] = ()
) -> Audit:
    """Scores every case by the rewards of a recipe's `rewards:` entries.

    With rows of the recipe as `questions`, answers that only copy them are cases, too.
    """
    functions, weights = build_rewards(entries)

    # Rewards keep the name of their entry, because two modules may use the same function name.
    rewards = []
    for entry, function, weight in zip(entries, functions, weights, strict=True):
        name = entry if isinstance(entry, str) else entry["name"]
        rewards.append(AuditedReward(name, weight, _best_score(function)))

    # Every case is compared with the right answer and with an honest failure.
    cases = score_cases(functions, weights)
    ideal = next(case for case in cases if case.name == IDEAL)
    no_idea = next(case for case in cases if case.name == NO_IDEA)
    cases += score_echoes(functions, weights, questions)
    problems = {case.name: find_problem(case, ideal, no_idea, rewards) for case in cases}
    return Audit(rewards, cases, {name: problem for name, problem in problems.items() if problem})


def score_cases(functions: Sequence[RewardFunction], weights: Sequence[float]) -> list[Case]:
    """Scores the completions of the audit with every reward."""
    example = _find_example(functions)
    completions = audit_completions(example)

    # Every case answers the same row. All have a length of 0 tokens: otherwise rewards for length
    # would hide what is paid for the answer.
    row = {
        "prompt": "What is it?",
        "question": "What is it?",
        "solution": example.right,
        "prompts": [{"role": "user", "content": "What is it?"}],
        "completion_ids": [],
        **example.row,
    }
    return _score_rows(functions, weights, completions, [row] * len(completions))


def score_echoes(
    functions: Sequence[RewardFunction],
    weights: Sequence[float],
    questions: Sequence[dict[str, Any]],
) -> list[Case]:
    """Scores answers that are copied from their question, each with the row of that question."""
    completions = {}
    rows = []
    for row in questions:
        for echo in question_echoes(str(row["question"])):
            # Some questions contain their answer as it is: `which is larger, 3 or 5?`
            if echo == str(row["answer"]):
                continue
            name = f"{WRONG}copied: {' '.join(echo.split())[:40]}"
            if name not in completions:
                completions[name] = make_completion("1. As the question says.", echo)
                rows.append({"completion_ids": [], "prompts": row.get("prompt", ""), **row})
    return _score_rows(functions, weights, completions, rows) if rows else []


def _score_rows(
    functions: Sequence[RewardFunction],
    weights: Sequence[float],
    completions: dict[str, str],
    rows: Sequence[dict[str, Any]],
) -> list[Case]:
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    columns["completions"] = [
        [{"role": "assistant", "content": text}] for text in completions.values()
    ]

    # One list of scores per reward, then one list per case with its weighted sum.
    scores = [call_reward_function(function, **columns) for function in functions]
    cases = []
    for name, *case_scores in zip(completions, *scores, strict=True):
        total = sum(
            weight * (score or 0.0) for weight, score in zip(weights, case_scores, strict=True)
        )
        cases.append(Case(name, case_scores, total))
    return cases


def find_problem(case: Case, ideal: Case, no_idea: Case, rewards: Sequence[AuditedReward]) -> str:
    """Why the rewards must not pay `case` what they pay it; empty if they may."""
    if case.name == NO_IDEA:
        return ""
    if case.name == IDEAL:
        return _find_problem_of_ideal(ideal, no_idea, rewards)
    if case.total >= ideal.total:
        return "earns as much as the ideal trace"
    if not case.name.startswith(WRONG):
        return ""

    # A reward for style may pay every well-formed completion; one for the answer must not.
    payers = []
    for index, reward in enumerate(rewards):
        earned_more = (case.scores[index] or 0.0) > (no_idea.scores[index] or 0.0) + SCORE_TOLERANCE
        if earned_more and _pays_for_answer(index, reward, ideal, no_idea):
            payers.append(reward.name)
    return f"a wrong answer is paid by {', '.join(payers)}" if payers else ""


def _find_problem_of_ideal(ideal: Case, no_idea: Case, rewards: Sequence[AuditedReward]) -> str:
    """The ideal completion must earn every reward in full, and one of them for its answer."""
    # First: is every reward earned in full?
    full = 0.0
    for reward, earned in zip(rewards, ideal.scores, strict=True):
        best = reward.best_score
        # A penalty has no best score, and an unknown scale is taken as it is.
        if best is None or reward.weight <= 0:
            best = earned or 0.0
        full += reward.weight * best
    if ideal.total < full - TOTAL_TOLERANCE:
        return f"earns {ideal.total:.3g} of {full:.3g}"

    # Second: does any of them depend on the answer?
    told_apart = any(
        _pays_for_answer(index, reward, ideal, no_idea) for index, reward in enumerate(rewards)
    )
    return "" if told_apart else "no reward tells it from a wrong answer"


def _pays_for_answer(index: int, reward: AuditedReward, ideal: Case, no_idea: Case) -> bool:
    """Whether the reward pays the right answer more than `no idea` in the same form."""
    return reward.weight > 0 and (ideal.scores[index] or 0.0) > (no_idea.scores[index] or 0.0)


def _find_example(functions: Sequence[RewardFunction]) -> AuditExample:
    """The row of the first reward that declares one."""
    for function in functions:
        example = getattr(function.reward, "audit_example", None)
        if example is not None:
            return example
    return Accuracy.audit_example


def _best_score(function: RewardFunction) -> float | None:
    if isinstance(function, ColumnRewardFunction):
        return None  # TRL's form has no declared scale
    return getattr(function.reward, "best_score", 1.0)
