"""The tables that `evaluate` prints."""

from typing import Any

from recipes.core.data.benchmarks import HELD_OUT
from recipes.core.evaluation.markdown import (
    format_fraction,
    format_interval,
    format_parameters,
    markdown_table,
)
from recipes.core.evaluation.score_book import ScoreBook
from recipes.core.generation.sampling import SamplingArguments


def score_table(book: ScoreBook, sampling: SamplingArguments) -> str:
    """Accuracy and format of each model, then the details, then comparisons of models."""
    held_out = book.scores[HELD_OUT]
    return "\n".join(
        [
            _main_table(held_out),
            _detail_table(book),
            _several_samples(held_out, sampling) + _comparisons(book),
            f"{sampling.num_generations} sample(s) per question at temperature "
            f"{sampling.temperature:g}, top_p {sampling.top_p:g}, at most "
            f"{sampling.max_completion_length} tokens.\n",
        ]
    )


def _main_table(held_out: dict[str, dict[str, Any]]) -> str:
    header = ["model", "parameters", "held-out accuracy (95 % interval)", "format"]
    rows = []
    for model, scores in held_out.items():
        accuracy = format_fraction(scores["accuracy"])
        rows.append(
            [
                model,
                format_parameters(scores.get("parameters")),
                f"{accuracy} ({format_interval(scores['ci95'])})",
                format_fraction(scores["format"]),
            ]
        )
    return markdown_table(header, rows)


def _detail_table(book: ScoreBook) -> str:
    held_out = book.scores[HELD_OUT]
    others = [name for name in book.scores if name != HELD_OUT]
    has_greedy = any("greedy_accuracy" in scores for scores in held_out.values())
    header = ["model", *others, "flexible", "accuracy given format", "length", "truncated"]
    header += ["tokens/s", "questions", "samples"]
    if has_greedy:
        header.append("greedy")

    rows = []
    for model, scores in held_out.items():
        row = [model]
        row += [format_fraction(book.scores[name][model]["accuracy"]) for name in others]
        row += [
            format_fraction(scores["flexible_accuracy"]),
            format_fraction(scores["accuracy_given_format"]),
            f"{scores['mean_length']:.1f}",
            format_fraction(scores["truncated"]),
            f"{book.speeds[model]:.0f}" if model in book.speeds else "-",
            str(scores["n"]),
            str(scores["samples"]),
        ]
        if has_greedy:
            row.append(format_fraction(scores.get("greedy_accuracy")))
        rows.append(row)
    return markdown_table(header, rows)


def _several_samples(held_out: dict[str, dict[str, Any]], sampling: SamplingArguments) -> str:
    """pass@k and majority vote of models with several samples per question."""
    text = ""
    for model, scores in held_out.items():
        if scores["majority"] is None:
            continue
        rates = [f"pass@{k} {value:.3f}" for k, value in scores["pass_at"].items()]
        rates.append(f"majority of {sampling.num_generations} {scores['majority']:.3f}")
        text += f"{model}: {', '.join(rates)}\n"
    return text


def _comparisons(book: ScoreBook) -> str:
    text = ""
    for pair, test in book.paired(HELD_OUT).items():
        low, high = test["ci95"]
        text += (
            f"{pair}: {test['difference']:+.3f} ({low:+.3f} to {high:+.3f}), p = {test['p']:.2g}\n"
        )
    return text
