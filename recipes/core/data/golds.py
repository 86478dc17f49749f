"""How the gold answer of a row, of any type, becomes the text that rewards see.

in the file                     text
"007", " NA "                   007, NA
0, 12345678901234567890         0, 12345678901234567890
0.0, 1e-7                       0.0, 0.0000001
true, false                     true, false
2024-05-01 (a date)             2024-05-01
["$2$", 3]                      ["$2$", "3"]: a list of texts
null, NaN, "", []               no answer
{"value": 7}                    refused: the path of one of its values is needed
"""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

Gold = str | list[str]


def read_gold(value: Any) -> Gold | None:
    """The gold in a cell as text, or as a list of texts; `None` if there is none.

    Raises:
        ValueError: says what the cell holds, if that is no answer.
    """
    # Several answers: what is missing among them is none.
    if isinstance(value, list | tuple):
        texts = [_element_text(element) for element in value]
        return [text for text in texts if text] or None
    return _scalar_text(value) or None


def unify_golds(golds: Sequence[Gold | None]) -> list[Gold | None]:
    """The golds of a column in one type: texts, or lists of texts if a row has several answers."""
    # A list of one is an ordinary gold.
    has_several = any(isinstance(gold, list) and len(gold) > 1 for gold in golds)
    if has_several:
        return [[gold] if isinstance(gold, str) else gold for gold in golds]
    return [gold[0] if isinstance(gold, list) else gold for gold in golds]


def keep_exact(values: list[Any]) -> list[Any]:
    """The golds of a file as they are, or as texts where a column of one type would change them.

    A column turns the 1 of [1, 2.5] into 1.0, and has no room for a text beside a number, or for
    an integer of more than 64 bits.
    """
    kinds = {type(scalar) for scalar in _scalars(values)}
    is_uniform = len(kinds) <= 1 and not _mixes_lists(values)
    # A mapping is refused later, when its row and its column are known.
    if dict in kinds or (is_uniform and not _exceeds_64_bits(values)):
        return values
    return list(unify_golds([read_gold(value) for value in values]))


def _scalar_text(value: Any) -> str:
    """One value as text, as JSON or the calendar writes it; empty if it is missing."""
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float_text(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            # Readers make a time of a date that a file holds.
            if value.time() == time() and value.tzinfo is None:
                return value.date().isoformat()
            return value.isoformat()
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.decode().strip()
        case dict():
            raise ValueError(f"a mapping with the keys {', '.join(map(str, value))}")
    raise ValueError(f"a value of the type {type(value).__name__}")


def _float_text(value: float) -> str:
    """The shortest decimals that give this number, without an exponent; empty for NaN."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return str(value)
    # repr() has the fewest digits that give this number.
    return format(Decimal(repr(value)), "f")


def _element_text(element: Any) -> str:
    """One of several answers; one that is itself a list stays as JSON writes it."""
    if isinstance(element, list):
        return json.dumps(element, ensure_ascii=False)
    return _scalar_text(element)


def _scalars(values: Iterable[Any]) -> Iterable[Any]:
    """All values and all elements of lists, without those that are missing."""
    for value in values:
        if isinstance(value, list):
            yield from _scalars(value)
        elif value is not None:
            yield value


def _mixes_lists(values: list[Any]) -> bool:
    """Whether some values are lists, and others are not."""
    are_lists = {isinstance(value, list) for value in values if value is not None}
    return len(are_lists) > 1


def _exceeds_64_bits(values: list[Any]) -> bool:
    numbers = (scalar for scalar in _scalars(values) if isinstance(scalar, int))
    return any(not -(2**63) <= number < 2**63 for number in numbers)
