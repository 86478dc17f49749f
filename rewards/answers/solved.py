r"""Reads solved inequalities: `x<2 \text{ or } x>3` is the set `(-\infty,2)\cup(3,\infty)`.

An inequality is solved if its unknown stands alone: `x^2-3x+2<0` is a question, no answer.
"""

import re

_RELATION = re.compile(r"(\\(?:lt|gt|le|ge)(?![A-Za-z])|[<>])")
_SENSE = {r"\lt": "<", r"\gt": ">", r"\le": "<=", r"\ge": ">=", "<": "<", ">": ">"}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
# An unknown: x  x_1  \theta  f(x)  |z|
_UNKNOWN = re.compile(r"\|?(?!\\(?:pi|infty)\b)\\?[A-Za-z]+(?:_\{?\w{1,5}\}?)?(?:\([A-Za-z]\))?\|?")
_LETTER = re.compile(r"\\?[A-Za-z]+")
_CONSTANTS = frozenset([r"\pi", r"\infty", r"\sqrt", r"\frac", "e", r"\cdot"])
_ALTERNATIVES = re.compile(r"\\(?:text|mbox) ?\{ ?or ?\}|\\(?:cup|lor|vee)(?![A-Za-z])|\bor\b")


def has_relation(text: str) -> bool:
    return bool(_RELATION.search(text))


def solved_set(text: str) -> str | None:
    """The union of intervals that solved inequalities describe; `None` if one is not solved."""
    intervals = [_interval(part.strip(" ,")) for part in _ALTERNATIVES.split(text)]
    if None in intervals:
        return None
    return r"\cup ".join(map(str, intervals))


def _interval(text: str) -> str | None:
    sides = [side.strip() for side in _RELATION.split(text)]
    bounds = sides[::2]
    relations = [_SENSE[sign] for sign in sides[1::2]]
    # x < 2, or 2 > x.
    if len(bounds) == 2:
        left, right = bounds
        if _is_constant(left) and _UNKNOWN.fullmatch(right):
            left, right, relations = right, left, [_MIRRORED[relations[0]]]
        if not (_UNKNOWN.fullmatch(left) and _is_constant(right)):
            return None
        if relations[0].startswith("<"):
            return rf"(-\infty,{right}{_closing(relations[0])}"
        return rf"{_opening(relations[0])}{right},\infty)"
    # 1 < x < 2, or 2 > x > 1.
    if len(bounds) != 3 or relations[0][0] != relations[1][0]:
        return None
    if relations[0].startswith(">"):
        bounds.reverse()
        relations.reverse()
    low, unknown, high = bounds
    if not (_UNKNOWN.fullmatch(unknown) and _is_constant(low) and _is_constant(high)):
        return None
    return f"{_opening(relations[0])}{low},{high}{_closing(relations[1])}"


def _opening(relation: str) -> str:
    return "[" if relation.endswith("=") else "("


def _closing(relation: str) -> str:
    return "]" if relation.endswith("=") else ")"


def _is_constant(text: str) -> bool:
    return bool(text) and all(name in _CONSTANTS for name in _LETTER.findall(text))
