"""The table that `evaluate` prints."""

from typing import Any

from recipes.core.evaluation.markdown import (
    format_fraction,
    format_interval,
    format_parameters,
    markdown_table,
)
from recipes.core.generation.sampling import SamplingArguments


def score_table(
    sets: dict[str, dict[str, dict[str, Any]]],
    speeds: dict[str, dict[str, float]],
    compared: dict[str, dict[str, Any]],
    sampling: SamplingArguments,
) -> str:
    """What `evaluate` shows: the scores on the held-out questions, the accuracy on other sets beside them, and what is said about
    pairs of models."""
    held_out, others = (
        sets["held_out"],
        {name: models for name, models in sets.items() if name != "held_out"},
    )
    greedy = any("greedy_accuracy" in values for values in held_out.values())
    header = [
        "model",
        "parameters",
        "accuracy",
        "95 % interval",
        "lenient",
        *(["greedy"] if greedy else []),
        *others,
    ]
    header += ["format", "given format", "length", "cut off", "tokens/s", "questions", "samples"]
    rows = [
        [
            name,
            format_parameters(s["parameters"]),
            format_fraction(s["accuracy"]),
            format_interval(s["ci95"]),
            format_fraction(s["lenient_accuracy"]),
        ]
        + ([format_fraction(s.get("greedy_accuracy"))] if greedy else [])
        + [format_fraction(models[name]["accuracy"]) for models in others.values()]
        + [
            format_fraction(s["format"]),
            format_fraction(s["accuracy_given_format"]),
            f"{s['mean_length']:.1f}",
            format_fraction(s["cut_off"]),
        ]
        + [
            f"{speeds[name]['tokens_per_second']:.0f}" if speeds[name] else "-",
            str(s["n"]),
            str(s["samples"]),
        ]
        for name, s in held_out.items()
    ]
    text = (
        f"Held-out, {sampling.num_generations} sample(s) a question, temperature {sampling.temperature:g}, top_p "
        f"{sampling.top_p:g}, at most {sampling.max_completion_length} tokens.\n\n{markdown_table(header, rows)}\n"
    )
    for name, s in held_out.items():
        if s["majority"] is not None:
            at = ", ".join(f"pass@{k} {value:.3f}" for k, value in s["pass_at"].items())
            text += f"{name}: {at}, majority of {sampling.num_generations} {s['majority']:.3f}\n"
    for pair, test in compared.items():
        low, high = test["ci95"]
        text += (
            f"{pair}: {test['difference']:+.3f} ({low:+.3f} to {high:+.3f}), p = {test['p']:.2g}\n"
        )
    return text
