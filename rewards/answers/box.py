r"""Reads `\boxed{}` in a text: the answer, or a part of a formula that changes it."""

import re

from rewards.answers.dimensions import find_unit

_TAIL = 200  # characters before a box that are looked at

# Layout beside a box, which means nothing. Patterns with `*+` never go back: they take linear time.
_OPENING = re.compile(
    r"(?:\\[\[(]|\\(?:quad|displaystyle|begin\{[a-z*]{1,20}\})|[\s$&{])+\Z",
)
_CLOSING = re.compile(
    r"(?:\\[\])]|\\(?:quad|end\{[a-z*]{1,20}\})|\\pmod ?\{?\w{1,9}\}?|[\s$&}]|[.,:;](?!\d))*+"
)

# What a formula or a sentence may end with before its result.
# matches: the answer is  Answer:  x =  \equiv  S \in  \Rightarrow  \text{Area} =
_ANNOUNCEMENT = re.compile(
    r"(?:\A|(?:\A|[\s(.,)$])[A-Za-z'\u2019]{2,30}|\ba|[=:,.;)\u2192\u21d2\u2234]"
    r"|\\(?:equiv|approx|in|[Rr]ightarrow|implies|to|therefore)|\\text\{[^{}]{0,80}\})\Z"
)
_BULLET = re.compile(r"(?:\A|\n)\s{0,9}[-*\u2022]\s[\s*$(\\]{0,9}\Z")  # a minus sign has no space
# Words before a box that change it.  matches: log  square root of  half of  not  minus
_CHANGE = re.compile(
    r"\b(?:log|ln|sin|cos|tan|exp|sqrt|not|minus|plus|times|than|least|most|either|between"
    r"|negative|twice|double|half|over|up to"
    r"|(?:root|square|cube|half|third|quarter|log|reciprocal|inverse|opposite|factorial) of"
    r"(?: the)?)\Z|\b(?:not|never|cannot|wrong)\b[^.,:;\n]{0,99}\Z|n['\u2019]t\b[^.,:;\n]{0,99}\Z",
    re.IGNORECASE,
)

# Behind a box: words and labels, but no number and no sign.
_PROSE = re.compile(
    r"(?:- )?(?>[A-Za-z][A-Za-z'\u2019-]{1,30}|[aI](?![A-Za-z])|\$[A-Za-z]{1,12}\$|\([a-z ]{1,30}\)"
    r"|(?<=\s)\d{1,6}(?= [a-z])|[\s.,:;$)\]])*+"
)
_TEXT = re.compile(r"(?:\\ ?)?(\\(?:text|textnormal|mbox|mathrm) ?\{[^{}]{1,99}\}\S{0,4}?)[.$\s]*")
_COUNT = re.compile(r"(?<!after )(?<!in )(?<!for )(?<!of )(?<!per )(?<!the )(?<!\d)\d")
# Words behind or between boxes that take them back.
_TAKEN_BACK = re.compile(
    r"\b(?:or|not|no|nor|wrong|incorrect|false|wait|actually|but|minus|plus|times|instead|squared"
    r"|cubed|divided|multiplied|factorial|million|thousand|hundred|dozen)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
# Between two boxes: words, names and layout.  matches: $ and $y_2 =
_CONNECTION = re.compile(
    r"(?>[A-Za-z][A-Za-z'\u2019-]{0,30}(?:_\{?\w{1,5}\}?)?|\\(?:quad|text\{|[()\[\],; ]|\\)"
    r"|[\s,;.:$(){}&=])*+"
)
_EQUATION = re.compile(r"[^\s]{0,99}\s?(?:=|\\equiv|\\approx)\s{0,9}\Z")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")


def read_boxes(text: str, spans: list[tuple[int, int]]) -> str | None:
    r"""The answer of a text with boxes; `None` if what stands beside them denies it.

    A box that is part of a formula, as in `2\cdot\boxed{7}`, becomes a bracket of it. Different
    boxes are a list. `spans` is where their contents are (`normalize.box_spans`).
    """
    contents = list(dict.fromkeys(text[start:end] for start, end in spans))
    # The same box again is the same answer: the last one counts.
    before, *connections, after = _around(text, spans if len(contents) > 1 else spans[-1:])
    # Words may announce the answer and go on about it, but not take it back.
    tail = _without_layout(before[-_TAIL:])
    rest = after[_CLOSING.match(after).end() :]  # type: ignore[union-attr]
    if _CHANGE.search(tail) or _TAKEN_BACK.search(rest):
        return None
    if not connections:
        return _read_box(before, contents[0], after, rest)
    if not all(map(_is_connection, connections)) or not _is_result(before, rest):
        return None
    return ", ".join(contents)


def _around(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """What stands before, between and behind the boxes."""
    pieces = []
    behind = 0
    for start, end in spans:
        pieces.append(text[behind : text.rindex("\\boxed", behind, start)])
        behind = end + 1  # of its closing brace
    return [*pieces, text[behind:]]


def _is_connection(text: str) -> bool:
    words = text.replace(" or ", " ")
    return bool(_CONNECTION.fullmatch(words)) and not _TAKEN_BACK.search(words)


def _read_box(before: str, content: str, after: str, rest: str) -> str | None:
    # A currency before the box and a unit behind it belong to the answer.
    if before.rstrip().endswith("\\$"):
        before = before.rstrip()[:-2]
        content = rf"\${content}"
    if rest.startswith(("%", "\\%")):
        content += "%"
        rest = rest.lstrip("\\%")
    elif _TEXT.fullmatch(rest) or (after[:1].isspace() and find_unit(rest.rstrip(" .$"))):
        content = f"{content} {rest.rstrip(' .$')}"
        rest = ""
    if after[:1].isalnum() or not _is_result(before, rest):
        return f"{_without_layout(before)}({content}){rest}"
    if _COUNT.search(rest):
        return None
    if not _is_equation(before):
        return content
    return before.replace("$", "").lstrip(r"\[( ") + content


def _is_result(before: str, rest: str) -> bool:
    """Whether what surrounds a box is words that announce a result and go on about it."""
    is_announced = _ANNOUNCEMENT.search(_without_layout(before[-_TAIL:]))
    is_announced = is_announced or _BULLET.search(before[-_TAIL:])
    return bool(is_announced) and bool(_PROSE.fullmatch(rest))


def _without_layout(text: str) -> str:
    opening = _OPENING.search(text[-_TAIL:])
    return text[: len(text) - len(opening[0])] if opening else text


def _is_equation(before: str) -> bool:
    """Whether the box is one side of an equation without words: 3x = 7 does not answer 7."""
    return before.rstrip().endswith("=") and not _WORD.search(before)
