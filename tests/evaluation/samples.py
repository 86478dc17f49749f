"""Samples made by hand, for the tests of evaluation."""

from recipes.core.generation.types import Sample
from rewards.completion import parse_completion
from tests.support.commands import answered

RIGHT = answered("1")
WRONG = answered("2")


def make_sample(question_id, completion, correct, sample_index=0, **changes):
    """A sample whose format score is that of its completion."""
    sample = Sample(
        question_id=question_id,
        sample_index=sample_index,
        question="0+1",
        answer="1",
        prompt=[],
        completion=completion,
        tokens=10,
        finished=True,
        correct=correct,
        flexible=correct,
        format=float(parse_completion(completion) is not None),
    )
    return sample | changes


def make_samples(right, wrong=0, first=0):
    """One sample for each of `right` + `wrong` questions, numbered from `first`."""
    samples = []
    for number in range(right + wrong):
        is_right = number < right
        completion = RIGHT if is_right else WRONG
        samples.append(make_sample(f"{first + number:03d}", completion, float(is_right)))
    return samples
