r"""Units of measurement: what they measure, and how many base units one is.

`5 m` is `500 cm`, but neither `5 cm` nor `5 kg`.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rewards.answers.words import word_set


@dataclass(frozen=True)
class Unit:
    """What is measured, such as `length/time`, and the size in base units."""

    dimension: str
    size: Fraction


# What a unit measures, its spellings, and its size.
_TABLE = (
    ("length", "mm millimeter millimeters millimetre millimetres", "1/1000"),
    ("length", "cm centimeter centimeters centimetre centimetres", "1/100"),
    ("length", "m meter meters metre metres", "1"),
    ("length", "km kilometer kilometers kilometre kilometres", "1000"),
    ("length", "in inch inches", "127/5000"),
    ("length", "ft foot feet", "381/1250"),
    ("length", "yd yard yards", "1143/1250"),
    ("length", "mi mile miles", "201168/125"),
    ("mass", "mg milligram milligrams", "1/1000"),
    ("mass", "g gram grams", "1"),
    ("mass", "kg kilo kilos kilogram kilograms", "1000"),
    ("mass", "oz ounce ounces", "28.349523125"),
    ("mass", "lb lbs pound pounds", "453.59237"),
    ("time", "s sec secs second seconds", "1"),
    ("time", "min mins minute minutes", "60"),
    ("time", "h hr hrs hour hours", "3600"),
    ("time", "day days", "86400"),
    ("time", "week weeks", "604800"),
    ("calendar", "month months", "1"),  # of 28 to 31 days
    ("calendar", "year years", "12"),
    ("volume", "ml milliliter milliliters millilitre millilitres", "1/1000"),
    ("volume", "l L liter liters litre litres", "1"),
    ("volume in cups", "cup cups", "1"),  # of several sizes
    ("volume in cups", "pint pints", "2"),
    ("volume in cups", "quart quarts", "4"),
    ("volume in cups", "gallon gallons", "16"),
    ("angle", "degree degrees deg", "1"),
    ("angle in radians", "radian radians rad", "1"),
    ("dollars", "dollar dollars USD usd buck bucks", "1"),
    ("dollars", "cent cents", "1/100"),
    ("euros", "euro euros EUR", "1"),
    ("yuan", "yuan CNY", "1"),
    ("rupees", "rupee rupees INR", "1"),
    ("before noon", "am a.m. AM", "1"),
    ("after noon", "pm p.m. PM", "1"),
)

# Currency signs, and their units.
CURRENCIES = {
    "$": Unit("dollars", Fraction(1)),
    "\u20ac": Unit("euros", Fraction(1)),
    "\u00a3": Unit("pounds sterling", Fraction(1)),
    "\u00a5": Unit("yen", Fraction(1)),
    "\u20b9": Unit("rupees", Fraction(1)),
}

# Three notations of a power.  matches: square feet  sq ft  cm^2  m^{3}
_POWER_WORDS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_NAME = re.compile(r"([A-Za-z]{1,20})\.?(?:\^\{?([23])\}?)?")

_PREPOSITIONS = word_set("of in after for from to on at than with a an every each left")

# Quotients that have a name of their own.
_QUOTIENTS = {"mph": "mi/h", "kph": "km/h"}


def _read_table() -> dict[str, Unit]:
    units = {}
    for dimension, names, size in _TABLE:
        for name in names.split():
            units[name] = Unit(dimension, Fraction(size))
    return units


_UNITS = _read_table()


@lru_cache(maxsize=8192)
def find_unit(phrase: str) -> Unit | None:
    """The first unit in what follows a number: that of a length for `meters of rope`.

    `None` if there is none. A word behind `per`, `/` or `a` divides: `meters per week`.
    """
    words = phrase.replace("/", " / ").split()
    for position, word in enumerate(words):
        if position and word in _PREPOSITIONS:
            return None  # not the weeks of `350 pills after 2 weeks`
        if word in _QUOTIENTS:
            return find_unit(_QUOTIENTS[word])
        power = _POWER_WORDS.get(word, 1)
        named = words[position + 1 : position + 2] if power > 1 else [word]
        unit = _read_unit(named[0], power) if named else None
        if unit is None or _is_preposition(words, position):
            continue
        rest = words[position + (2 if power > 1 else 1) :]
        divisor = _read_unit(rest[1], 1) if rest[:1] in (["/"], ["per"]) and rest[1:] else None
        if divisor is None:
            return unit
        return Unit(f"{unit.dimension}/{divisor.dimension}", unit.size / divisor.size)
    return None


def _is_preposition(words: list[str], position: int) -> bool:
    """Whether it is the `in` of `12 birds in the tree`."""
    return words[position] == "in" and len(words) > 1


def _read_unit(word: str, power: int) -> Unit | None:
    match = _NAME.fullmatch(word)
    if not match:
        return None
    unit = _UNITS.get(match[1]) or (_UNITS.get(match[1].lower()) if len(match[1]) > 2 else None)
    power = int(match[2] or power)
    if unit is None or power == 1:
        return unit
    return Unit(f"{unit.dimension}^{power}", unit.size**power)
