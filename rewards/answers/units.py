"""Units and words for large numbers after a value."""

import re

# math-verify ignores units too. Single letters are units only in \text{}: elsewhere they are
# variables.
_UNITS = "|".join(
    (
        "mm|cm|km|kg|mg|ft|feet|foot|in|inch(?:es)?|yards?|miles?|mph",
        "(?:kilo|centi|milli)?met(?:er|re)s?|lit(?:er|re)s?|(?:kilo)?grams?",
        "pounds?|lbs?|ounces?|oz",
        "sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?|months?|years?",
        "degrees?|deg|dollars?|cents?|euros?",
        "units?|square units|square (?:cm|feet|inches|meters|miles)",
        "cubic (?:cm|feet|inches|meters)",
    )
)

# A unit after a digit or a bracket.  matches the end of: 5 cm  5\text{ m}  90^\circ  (3) hours
_UNIT = re.compile(
    rf"(?<=[\d)}}])\s?"
    rf"(?:\\text\{{\s?(?:{_UNITS}|[mgshl])\s?\}}|\b(?:{_UNITS})|\^\{{?\\circ\}}?)\Z"
)

MULTIPLES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}

# A number and a multiple, perhaps of something.  matches: 5 million  3 \text{ dozen} eggs
MULTIPLE = re.compile(
    rf"(.+?)\s?(?:\\text\{{\s?)?({'|'.join(MULTIPLES)})(?:\s[a-z]+)?\s?\}}?", re.DOTALL
)


def strip_unit(text: str) -> str:
    """`text` without the unit at its end."""
    return _UNIT.sub("", text)
