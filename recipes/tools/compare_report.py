"""The results of `compare` over seeds: intervals, the table and the plot."""

import statistics
from dataclasses import dataclass, field
from pathlib import Path

from recipes.core.evaluation.markdown import format_fraction, format_interval, markdown_table
from recipes.core.evaluation.score_book import ModelScores
from recipes.tools.compare_seed import ArmCost

# 97.5 % quantiles of Student's t distribution, for 2 to 10 seeds.
STUDENT_T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)

# Names and colours in the plot: arms of equal compute are blue, references grey.
LABELS = {
    "student_base": "student base",
    "rl_only": "RL only",
    "distilled": "distilled",
    "distilled_then_rl": "distilled,\nthen RL",
    "teacher": "teacher",
}
REFERENCES = ("student_base", "teacher")
BLUE = "#7ba6ee"
GREY = "#c3cad3"
INK = "#1c2733"


@dataclass
class Arm:
    """Results of one arm, a value per seed."""

    accuracy: list[float] = field(default_factory=list)
    flexible_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    teacher_seconds: list[float] = field(default_factory=list)
    teacher_tokens: list[int] = field(default_factory=list)
    ci95: list[float] | None = None  # of the mean accuracy over seeds

    def add(self, scores: ModelScores, cost: ArmCost) -> None:
        """Adds the results of one seed."""
        self.accuracy.append(scores["accuracy"])
        self.flexible_accuracy.append(scores["flexible_accuracy"])
        self.seconds.append(cost.total.seconds)
        self.tokens.append(cost.total.tokens)
        self.teacher_seconds.append(cost.teacher_share.seconds)
        self.teacher_tokens.append(cost.teacher_share.tokens)
        self.ci95 = seed_interval(self.accuracy)


def seed_interval(values: list[float]) -> list[float] | None:
    """The 95 % interval of the mean over seeds by Student's t, within 0 and 1.

    `None` for a single seed.
    """
    if len(values) < 2:
        return None

    # More seeds than the table has use its last quantile, which is slightly too wide for them.
    quantile = STUDENT_T_975[min(len(values) - 2, len(STUDENT_T_975) - 1)]
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.mean(values)
    return [max(0.0, mean - half), min(1.0, mean + half)]


def table(arms: dict[str, Arm]) -> str:
    """One line per arm, means over seeds."""
    header = ["model", "accuracy", "95 % interval", "each seed", "flexible"]
    header += ["seconds", "of the teacher", "tokens", "of the teacher"]
    # Means over the seeds; the interval is over seeds and questions.
    rows = []
    for name, arm in arms.items():
        rows.append(
            [
                name,
                format_fraction(statistics.mean(arm.accuracy)),
                format_interval(arm.ci95) if arm.ci95 else "-",
                " / ".join(map(format_fraction, arm.accuracy)),
                format_fraction(statistics.mean(arm.flexible_accuracy)),
                f"{statistics.mean(arm.seconds):.0f}",
                f"{statistics.mean(arm.teacher_seconds):.0f}",
                f"{statistics.mean(arm.tokens) / 1e6:.2f} M",
                f"{statistics.mean(arm.teacher_tokens) / 1e6:.2f} M",
            ]
        )
    return markdown_table(header, rows)


def plot(arms: dict[str, Arm], file: Path) -> None:
    """A bar per arm with its mean accuracy and interval, and a dot per seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    ticks = []
    for index, (name, arm) in enumerate(arms.items()):
        # The bar, its interval, and the mean above both.
        mean = statistics.mean(arm.accuracy)
        low, high = arm.ci95 or (mean, mean)
        axes.bar(index, mean, width=0.62, color=GREY if name in REFERENCES else BLUE)
        if arm.ci95:
            error = [[mean - low], [high - mean]]
            axes.errorbar(index, mean, yerr=error, color=INK, capsize=5, linewidth=1.2)
        top = max(high, *arm.accuracy)
        axes.text(index, top + 0.02, format_fraction(mean), ha="center", fontsize=11)

        # The seeds beside the interval, so that they do not hide it.
        beside = [index + 0.16] * len(arm.accuracy)
        label = "one seed" if index == 0 else None
        axes.scatter(beside, arm.accuracy, s=20, color=INK, alpha=0.7, zorder=3, label=label)
        ticks.append(f"{LABELS[name]}\n{statistics.mean(arm.seconds):.0f} s")

    # Room above the bars for the numbers, and seconds below the names.
    axes.set_xticks(range(len(arms)), ticks, fontsize=10)
    axes.set(ylabel="held-out accuracy", ylim=(0, 1.08))
    axes.set_title(
        "Blue: the same seconds of training and sampling. Grey: references.", fontsize=10
    )
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)
