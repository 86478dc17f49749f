"""The audit: what rewards would pay to a model that cheats."""

import pytest

from rewards import REWARDS
from rewards.audit import audit_rewards
from rewards.audit_cases import AuditExample, question_echoes
from rewards.interface import BatchReward, ScoredBatch

USER_REWARDS = "tests.support.user_rewards"

CORRECTNESS_REWARDS = [
    name for name, reward in REWARDS.items() if getattr(reward, "audit_example", None)
]


def test_every_reward_that_is_decided_by_rules_is_audited():
    assert CORRECTNESS_REWARDS == [
        "accuracy",
        "exact",
        "choice",
        "countdown",
        "code",
        "reasoning_gym",
    ]


@pytest.mark.parametrize("name", CORRECTNESS_REWARDS)
def test_no_correctness_reward_pays_a_wrong_or_malformed_completion(name):
    audit = audit_rewards([name, {"name": "format", "weight": 0.2}])
    assert audit.problems == {}
    ideal, *others = audit.cases
    assert (ideal.name, ideal.total) == ("ideal", 1.2)
    assert len(others) > 30 and all(case.scores[0] == 0.0 for case in others)


def test_every_reward_together_still_pays_the_ideal_completion_in_full():
    audit = audit_rewards(
        [
            {"name": "accuracy"},
            {"name": "format", "graded": True},
            {"name": "overlong", "max_tokens": 100, "cache_tokens": 20},
            {"name": "tag_count"},
            {"name": "cosine", "max_tokens": 100},
            {"name": "length_group"},
            {"name": "repetition"},
            {"name": "language"},
            {"name": "reasoning_steps"},
        ]
    )
    assert audit.cases[0].total == 6.0  # penalties are 0 at best
    assert "ideal" not in audit.problems


@pytest.mark.parametrize(
    ("entries", "case", "problem"),
    [
        (
            [f"{USER_REWARDS}:near", "format"],
            "wrong: near miss: 42.0001",
            f"a wrong answer is paid by {USER_REWARDS}:near",
        ),
        ([f"{USER_REWARDS}:near"], "trailing text", "earns as much as the ideal trace"),
        (
            [{"name": "reasoning_gym", "strict": False}],
            "wrong: near miss: 142 for 42",
            "a wrong answer is paid by reasoning_gym",
        ),
        (["format"], "ideal", "no reward tells it from a wrong answer"),
        (
            ["trl.rewards:think_format_reward"],
            "empty think block",
            "earns as much as the ideal trace",
        ),
        (
            [{"name": "language", "language": "zh"}, "countdown", "choice"],
            "ideal",
            "earns 2 of 3",  # countdown and choice cannot score the same row
        ),
    ],
)
def test_the_audit_finds_what_other_systems_pay(entries, case, problem):
    assert problem in audit_rewards(entries).problems[case]


class Half(BatchReward):
    """Half a point for the answer 7, else nothing."""

    best_score = 0.5
    audit_example = AuditExample({"answer": "7"}, right="7", wrong={"a digit more": "77"})

    def score_batch(self, completions, rows):
        return ScoredBatch([0.5 * ("<answer>7" in text) for text in completions])


def test_a_users_reward_declares_its_best_score_and_the_row_on_which_it_is_audited():
    audit = audit_rewards([f"{__name__}:Half", {"name": "format", "weight": 0.2}])
    assert audit.cases[0].total == pytest.approx(0.7)
    assert "ideal" not in audit.problems  # 0.5 is all that it can earn
    assert audit.problems["wrong: a digit more"] == "earns as much as the ideal trace"


def test_the_report_has_one_line_per_case_and_points_at_the_problems():
    audit = audit_rewards([{"name": "reasoning_gym", "strict": False}])
    header, ideal, *others = audit.table().splitlines()
    assert header.split() == ["case", "reasoning_gym", "total"]
    assert ideal.split() == ["ideal", "1", "1"]
    assert len(others) == len(audit.cases) - 1
    pointed = [line for line in others if "  <-- a wrong answer is paid by reasoning_gym" in line]
    assert len(pointed) == len(audit.problems) > 0
    assert audit.summary() == f"{len(audit.cases)} cases, {len(audit.problems)} with a problem"


class PaysCalculations:
    """Computes what it is given, as a parser of formulas does."""

    audit_example = AuditExample({"answer": "42"}, right="42", wrong={})

    def __call__(self, completion, answer, **row):
        text = completion.partition("<answer>")[2].partition("</answer>")[0]
        return float({"23*7+5": "166"}.get(text, text) == answer)


def test_a_reward_that_pays_the_question_given_back_is_found():
    questions = [{"question": "What is 23*7+5?", "answer": "166"}, {"question": "7", "answer": "7"}]
    audit = audit_rewards([f"{__name__}:PaysCalculations"], questions)
    copied = {name: text for name, text in audit.problems.items() if "copied" in name}
    assert list(copied) == ["wrong: copied: 23*7+5"]
    assert audit_rewards(["accuracy"], questions).problems == {}


@pytest.mark.parametrize(
    ("question", "echoes"),
    [
        ("23*7+5", ["23*7+5"]),
        ("What is 3 + 4 \u00d7 5?", ["What is 3 + 4 \u00d7 5?", "3 + 4 \u00d7 5"]),
        ("Solve $x^2-3x+2<0$.", ["Solve $x^2-3x+2<0$.", "x^2-3x+2<0"]),
        ("How many apples?", ["How many apples?"]),
    ],
)
def test_what_can_be_copied_from_a_question(question, echoes):
    assert question_echoes(question) == echoes
