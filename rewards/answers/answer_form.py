r"""Decides which texts are compared: the form of the gold says which forms its answer may have.

A gold that is a number takes a number: not the sum that the question asks for. A gold that is an
interval takes no inequality that is still to be solved. And no answer is right of which a part
would not be read.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rewards.answers.compare import DIFFERENT, SAME, UNDECIDED, Comparison, compare
from rewards.answers.dimensions import Unit
from rewards.answers.equation import is_name, value_of_equation
from rewards.answers.normalize import normalize
from rewards.answers.numeral import Numeral, read_numeral
from rewards.answers.reading import align_components, is_wholly_read, split_unit
from rewards.answers.sentence import bare_answer
from rewards.answers.solved import has_relation, solved_set

_MAX_CACHED = 2000  # characters of an answer that is remembered

Pair = tuple[str, str]

# The forms of a number that is no calculation, so that a gold of it is a result.
_RESULTS = frozenset(["number", "fraction", "mixed", "repeating", "scientific"])

# matches: 72  -1,200.5  \boxed{72}
_PLAIN_ANSWER = re.compile(
    r"\\boxed\{(-?\d[\d,]{0,40}(?:\.\d{1,40})?)\}|(-?\d[\d,]{0,40}(?:\.\d{1,40})?)",
    re.ASCII,
)
_PLAIN_GOLD = re.compile(r"-?\d[\d,]{0,40}", re.ASCII)
_HAS_WORDS = re.compile(r"\\(?:text|mbox|mathrm)|[A-Za-z ]{2}\Z")

# What only its own text equals.  matches: 12:30  2020-01-02  1, 4, 9, \ldots
_LITERAL = re.compile(
    r"\d{1,2}:[0-5]\d(?!\d)|\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{4}|.*(?:\\[lc]?dots|\.\.\.)"
)
_WORDS = re.compile(r"(?=.*(?:[A-Za-z]{4}| ))[A-Za-z]+(?:[ -][A-Za-z]+)*")  # matches: New York
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?no (?:real )?solutions?|none|empty set|\\emptyset|\\\{\\\}", re.I
)
_REALS = re.compile(r"\\mathbb ?\{?R\}?|\(-\\infty,\+?\\infty\)|all real(?:s| numbers)", re.I)

_CONSTANT = re.compile(r"(?<=.)\+[A-Z]\Z")  # matches the end of: x^2+C
_ANY_CONSTANT = re.compile(r"(?<=.)\+[A-Za-z]\Z")


class Judgement(NamedTuple):
    """Whether an answer is right, and the texts that math-verify compares where it is undecided."""

    comparison: Comparison
    gold: str
    answer: str


def judge(gold: str, text: str) -> Judgement:
    """Compares a gold, as `normalize` returns it, with the text of an answer block."""
    # Most golds and most answers are plain numbers.
    number = _PLAIN_ANSWER.fullmatch(text)
    if number and _PLAIN_GOLD.fullmatch(gold):
        answer = number[1] or number[2]
        return Judgement(compare(gold, answer), gold, answer)
    # A group often gives the same answer several times.
    if len(text) <= _MAX_CACHED:
        return _judge_once(gold, text)
    return _judge(gold, text)


def _judge(gold: str, text: str) -> Judgement:
    answer = _read_answer(gold, text)
    if answer is None:
        return Judgement(DIFFERENT, gold, text)
    if answer == gold:
        return Judgement(SAME, gold, answer)
    # What exact arithmetic tells apart needs no rules, unless there are units to convert.
    comparison = UNDECIDED
    if not (_HAS_WORDS.search(answer) or _LITERAL.match(gold)):
        comparison = compare(gold, answer)
    form = _gold_form(gold)
    if comparison is DIFFERENT or (comparison is SAME and form.numeral is None):
        return Judgement(comparison, gold, answer)
    pair = _numeral_pair(form, answer) if form.numeral else _other_pair(gold, answer)
    if pair is None:
        return Judgement(DIFFERENT, gold, answer)
    is_converted = pair[1] != answer
    if comparison is UNDECIDED or is_converted:
        comparison = compare(*pair)
    return Judgement(comparison, *pair)


def _read_answer(gold: str, text: str) -> str | None:
    """The answer in the text, normalized; `None` if there is none."""
    # The very text of the gold needs no rules.
    if "\\boxed" not in text and normalize(text) == gold:
        return gold
    bare = bare_answer(text)
    if bare is None:
        return None
    return normalize(bare)


_judge_once = lru_cache(maxsize=65536)(_judge)


@dataclass(frozen=True)
class GoldForm:
    """What a gold is, and how it is written.

    Attributes:
        text: without the name of a single unknown, if it is a number.
        name: that name.
        numeral: the number; `None` for every other gold.
    """

    text: str
    name: str
    numeral: Numeral | None


@lru_cache(maxsize=65536)
def _gold_form(gold: str) -> GoldForm:
    name, equals, value = gold.partition("=")
    if not equals or not is_name(name.strip()):
        name, value = "", gold
    numeral = read_numeral(value.strip()) if not _LITERAL.match(gold) else None
    if numeral is None or numeral.form not in _RESULTS:
        return GoldForm(gold, "", None)
    return GoldForm(value, name.strip(), numeral)


# --- Numbers -------------------------------------------------------------------------------------


def _numeral_pair(gold: GoldForm, answer: str) -> Pair | None:
    value = value_of_equation(answer, gold.name)
    numeral = read_numeral(value) if value is not None else None
    if numeral is None or gold.numeral is None:
        return None
    # 322/2 for 161 is a division that nobody has done.
    gold_value = gold.numeral.value
    if numeral.form == "fraction" and gold_value is not None and gold_value.denominator == 1:
        return None
    text = _in_unit_of(gold.numeral, numeral)
    if text is None:
        return None
    return (gold.numeral.text, text)


def _in_unit_of(gold: Numeral, answer: Numeral) -> str | None:
    """The answer's value in the gold's unit; `None` if it measures something else."""
    if not gold.phrase and gold.unit is None and not gold.is_percent:
        return answer.text  # the question has named the unit
    if not answer.phrase and answer.unit is None:
        return answer.text  # so it may be left out
    if gold.unit is None and answer.unit is None:
        return answer.text  # two nouns
    return _converted(answer, gold.unit)


def _converted(answer: Numeral, unit: Unit | None) -> str | None:
    if unit is None or answer.unit is None or unit.dimension != answer.unit.dimension:
        return None
    if unit.size == answer.unit.size:
        return answer.text
    value = answer.value
    if value is None:
        return None
    return str(value * answer.unit.size / unit.size)


# --- Everything else -----------------------------------------------------------------------------


def _other_pair(gold: str, answer: str) -> Pair | None:
    if _LITERAL.match(gold):
        is_same = gold.replace(" ", "") == answer.replace(" ", "")
        if is_same:
            return (gold, gold)
        return None
    # Words, and sets that have a name.
    for name in (_NOTHING, _REALS):
        if name.fullmatch(gold):
            if name.fullmatch(answer):
                return (gold, gold)
            return None
    if answer.casefold() == gold.casefold() and len(gold) > 2:
        return gold, gold
    if _WORDS.fullmatch(gold):
        return None
    if len(gold) == 1:
        answer = answer.removeprefix("(").removesuffix(")")
    # Any letter may stand for the constant of an antiderivative.
    if _CONSTANT.search(gold):
        answer = _ANY_CONSTANT.sub(gold[-2:], answer)
    # Units: the same or none.
    gold, gold_unit = split_unit(gold)
    answer, answer_unit = split_unit(answer)
    if gold_unit and answer_unit and gold_unit != answer_unit:
        return None
    # Solved inequalities become intervals; others are the question.
    if has_relation(answer) and r"\in" not in answer:
        if not has_relation(gold) and "=" not in gold:
            solved = solved_set(answer)
            if solved is None or not _is_set(gold):
                return None
            return (gold, solved)
        if not _is_solved_like(gold, answer):
            return None
    aligned = align_components(gold, answer)
    if aligned is None or not is_wholly_read(*aligned):
        return None
    return aligned


def _is_set(gold: str) -> bool:
    """Whether the gold is an interval, or a union or another set."""
    return gold.startswith(("(", "[", "\\{")) or r"\cup" in gold or r"\in" in gold


def _is_solved_like(gold: str, answer: str) -> bool:
    """Whether the answer is solved, if the gold is."""
    if solved_set(gold) is None:
        return True
    return solved_set(answer.replace("-x", "x")) is not None
