"""The table and the plot of compare, and its intervals over seeds."""

import pytest

from recipes.tools.compare_report import LABELS, Arm, plot, seed_interval, table
from recipes.tools.compare_seed import ARMS, ArmCost
from recipes.tools.stage_runner import Cost


def make_arm(*accuracies):
    arm = Arm()
    cost = ArmCost(total=Cost(130.0, 2_000_000), teacher_share=Cost(77.0, 560_000))
    for accuracy in accuracies:
        arm.add({"accuracy": accuracy, "flexible_accuracy": 1.0}, cost)
    return arm


def test_the_interval_over_seeds_is_that_of_students_t():
    half = 4.30 * 0.02 / 3**0.5
    assert seed_interval([0.9, 0.92, 0.94]) == pytest.approx([0.92 - half, 0.92 + half])
    assert seed_interval([0.0, 1.0]) == [0.0, 1.0]  # never outside of what an accuracy can be
    assert seed_interval([0.9]) is None


def test_an_arm_keeps_one_value_per_seed_and_the_interval_of_all():
    arm = make_arm(0.9, 0.92)
    assert arm.accuracy == [0.9, 0.92]
    assert (arm.seconds, arm.teacher_seconds) == ([130.0, 130.0], [77.0, 77.0])
    assert (arm.tokens, arm.teacher_tokens) == ([2_000_000] * 2, [560_000] * 2)
    assert arm.ci95 == seed_interval([0.9, 0.92])


def test_the_table_has_means_and_each_seed():
    _, _, several, one = table({"a": make_arm(0.8, 1.0), "b": make_arm(0.5)}).splitlines()
    costs = "1.000 | 130 | 77 | 2.00 M | 0.56 M |"
    assert several == f"| a | 0.900 | 0.000 to 1.000 | 0.800 / 1.000 | {costs}"
    assert one == f"| b | 0.500 | - | 0.500 | {costs}"


@pytest.mark.parametrize("accuracies", [(0.5,), (0.8, 0.9, 0.85)])
def test_the_plot_is_drawn_for_one_seed_and_for_several(tmp_path, accuracies):
    arms = {name: make_arm(*accuracies) for name in ARMS}
    plot(arms, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 10_000


def test_every_arm_has_a_label_in_the_plot():
    assert tuple(LABELS) == ARMS
