r"""Reads an answer that is one number: its value, and what it counts or measures.

    72 clips   \$18 per hour   2\frac{1}{2}\text{ cm}   0.\overline{3}   4.2 x 10^5   forty-two

The value may be a numeral, a fraction, a power, a root, or a number in scientific notation. A sum
or a product of numbers is a calculation that somebody still has to do, and no number.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rewards.answers.dimensions import CURRENCIES, Unit, find_unit
from rewards.answers.phrase import is_noun_phrase
from rewards.answers.quantity import Number, parse_number, read_value
from rewards.answers.units import MULTIPLES
from rewards.answers.words import replace_number_words

_MAX_LENGTH = 300  # characters of a number with its noun

# A numeral, and a natural number.
_N = r"(?:(?:[1-9]\d{0,2}(?:[, ]\d{3}){1,12}(?!\d)|\d{1,100})(?:\.\d{1,100})?|\.\d{1,100})"
_I = r"\d{1,100}"
_ROOT = rf"(?:\\sqrt(?:\[\d\])?(?:\{{{_N}\}}|\d)|\\pi(?![A-Za-z]))"

# The forms of a value. The first that matches wins, so longer ones come first.
_FORMS = (
    # matches: |-5|  |3+4i|
    ("modulus", rf"\|(?P<real>-?{_I})(?:(?P<sign>[+-])(?P<imaginary>\d{{0,9}})i)?\|"),
    ("imaginary", r"i\^\{?(?P<power>\d{1,3})\}?"),  # matches: i^2
    # matches: 0.\overline{3}  0.1\bar6  0.(3)
    (
        "repeating",
        r"(?P<whole>\d{0,20})\.(?P<start>\d{0,20})"
        r"(?:\\(?:overline|bar|dot) ?\{?|\()(?P<period>\d{1,20})[})]?",
    ),
    # matches: 4.2\times 10^5  4.2 x 10^{-5}
    (
        "scientific",
        rf"(?P<factor>{_N}) ?(?:\\times|\\cdot|[xX*]) ?10\^(?P<exponent>\d|\{{-?\d{{1,3}}\}})",
    ),
    ("mixed", rf"{_I}(?: {_I}/{_I}| ?\\frac\{{{_I}\}}\{{{_I}\}})"),  # matches: 1 1/2
    # matches: 2\sqrt{3}  \sqrt[3]{2}/2  \frac{\sqrt{3}}{2}  \frac{\pi}{2}
    (
        "root",
        rf"(?:{_N} ?)?{_ROOT}(?: ?/{_I})?"
        rf"|\\frac\{{-?{_I}?{_ROOT}\}}\{{{_I}\}}|\\frac\{{-?{_I}\}}\{{{_I}?{_ROOT}\}}",
    ),
    # matches: 2^{10}  (-2)^3  (\frac{1}{2})^3
    (
        "power",
        rf"(?:{_N}|\(-?{_N}(?:/{_I})?\)|\(-?\\frac\{{{_I}\}}\{{{_I}\}}\))"
        rf"\^(?:\d|\{{-?{_N}(?:/{_I})?\}})(?![\d^])",
    ),
    # matches: 3/4  \frac{3}{4}  \frac34
    (
        "fraction",
        rf"{_N}/-?{_N}(?![\d/])|\\frac ?(?:\{{-?{_N}\}}|\d) ?(?:\{{-?{_N}\}}|\d)(?!\d)",
    ),
    ("number", rf"{_N}(?:[eE][+-]?\d{{1,3}}(?![A-Za-z\d]))?"),  # matches: 1,200.50  3e5
)
_VALUES = tuple((name, re.compile(pattern, re.ASCII)) for name, pattern in _FORMS)

_BRACKETED = re.compile(r"\(([^(),]{1,100})\)|\{([^(){},]{1,100})\}")  # matches: (-5)
_TEXT = re.compile(r"\\(?:text|textbf|textnormal|textit|mathrm|mbox|rm) ?\{([^{}]{0,200})\}")
_DEGREES = re.compile(r"\^\{?\\circ\}?(?: ?[CF]\b)?")
_MINUS = re.compile(r"(?:minus|negative) (?=[\d\\a-z.])", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:US|USD|EUR)? ?(\$|[\u20ac\u00a3\u00a5\u20b9])|(USD|EUR) ")
_PERCENT = re.compile(r" ?%| ?(?:percent|pct|percentage)(?![A-Za-z])")


@dataclass(frozen=True)
class Numeral:
    """One number.

    Attributes:
        form: how its value is written: `number`, `fraction`, `power` and so on.
        text: the value alone, as `compare` reads it.
        phrase: the words behind it.
        unit: the unit among them, or that of the currency sign.
    """

    form: str
    text: str
    phrase: str
    unit: Unit | None

    @property
    def is_percent(self) -> bool:
        return self.text.endswith("%")

    @property
    def value(self) -> Fraction | None:
        """Its value; `None` for roots, percentages, and what is not read exactly."""
        value = read_value(self.text)
        if isinstance(value, Number) and not value.percent:
            return value.value
        return None


@lru_cache(maxsize=65536)
def read_numeral(text: str) -> Numeral | None:
    """The number that a normalized answer consists of; `None` if it is anything else."""
    # Most answers are plain numbers.
    number = parse_number(text)
    if number and text[-1].isdigit() and text.lstrip("+-.")[0].isdigit():
        return Numeral("number", text, "", None)
    if len(text) > _MAX_LENGTH:
        return None
    # Spellings of words, degrees and escaped signs.
    text = _TEXT.sub(r" \1 ", text).replace(" ^", "^")
    text = _DEGREES.sub(" degrees", text).replace(r"\$", "$").replace(r"\%", "%").strip()
    text = text.removesuffix(".")
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        text = bracketed[1] or bracketed[2]
    minus = _MINUS.match(text)
    text = replace_number_words(text[minus.end() :] if minus else text)

    # Sign and currency, in either order.
    sign, rest = ("-", text) if minus else _take_sign(text)
    currency = _CURRENCY.match(rest)
    if currency:
        sign_behind, rest = _take_sign(rest[currency.end() :])
        sign = sign or sign_behind
    matched = _match_value(rest)
    if matched is None:
        return None
    form, value, rest = matched
    return _with_phrase(form, sign, value, rest, _currency_unit(currency))


def _take_sign(text: str) -> tuple[str, str]:
    text = text.lstrip(" ")
    if text[:1] in ("+", "-"):
        return text[0].replace("+", ""), text[1:].lstrip(" ")
    return "", text


def _currency_unit(match: re.Match[str] | None) -> Unit | None:
    if match is None:
        return None
    if match[1]:
        return CURRENCIES[match[1]]
    return find_unit(match[2])


def _match_value(text: str) -> tuple[str, str, str] | None:
    """The form of the value at the start, its text, and what stands behind it."""
    for form, pattern in _VALUES:
        match = pattern.match(text)
        if match:
            value = _plain_value(form, match)
            if value is None:
                return None
            return (form, value, text[match.end() :])
    return None


def _plain_value(form: str, match: re.Match[str]) -> str | None:
    """The value in a spelling that `compare` knows; `None` if it is not a real number."""
    match form:
        case "modulus":
            real = int(match["real"])
            imaginary = int(match["imaginary"] or "1") if match["sign"] else 0
            return rf"\sqrt{{{real**2 + imaginary**2}}}"
        case "imaginary":
            power = int(match["power"])
            if power % 2:
                return None
            return str(1 - power % 4)
        case "repeating":
            return _repeating_decimal(match["whole"], match["start"], match["period"])
        case "scientific":
            exponent = int(match["exponent"].strip("{}"))
            return rf"{match['factor']}\times 10^{{{exponent}}}"
    return match[0]


def _repeating_decimal(whole: str, start: str, period: str) -> str:
    """The fraction of a decimal such as 0.1(6), whose `start` is 1 and `period` 6."""
    size = 10 ** len(start)
    value = Fraction(int(whole + start or "0"), size)
    value += Fraction(int(period), size * (10 ** len(period) - 1))
    return str(value)


def _with_phrase(form: str, sign: str, value: str, rest: str, unit: Unit | None) -> Numeral | None:
    # The other signs: a currency behind the value, or a percentage.
    if unit is None and rest.lstrip(" ")[:1] in CURRENCIES:
        unit = CURRENCIES[rest.lstrip(" ")[0]]
        rest = " " + rest.lstrip(" ")[1:]
    percent = _PERCENT.match(rest)
    if percent:
        value += "%"
        rest = rest[percent.end() :]
    # Behind a sign, no space is needed: 60%off  \frac{1}{2}cup
    if rest[:1].isalpha() and not value[-1].isalnum():
        rest = " " + rest
    # Words of large numbers belong to the value.  matches: million dollars
    words = rest.split(" ", 2)
    if rest[:1] == " " and len(words) > 1 and words[1] in MULTIPLES:
        number = parse_number(value)
        if number is None or percent:
            return None
        form, value = "number", str(number.value * MULTIPLES[words[1]])
        rest = " " + words[2] if len(words) > 2 else ""
    if rest.strip() and not is_noun_phrase(rest):
        return None
    return Numeral(form, sign + value, rest.strip(), unit or find_unit(rest))
