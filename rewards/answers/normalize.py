"""What of an answer's spelling does not matter?"""

import re

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
_PLAIN = re.compile(r"-?\d[\d,]*(?:\.\d+)?", re.ASCII)
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}\\]*)\}")
_NOTHING = re.compile(r"(?<!\\)\\(?:(?:left|right|displaystyle)(?![A-Za-z])|!)")
_SPACE = re.compile(r"(?<!\\)\\[,; ]|~|\s+")
_FRAC = re.compile(r"\\[dt]frac(?![A-Za-z])")
_NEEDLESS_SPACE = re.compile(
    r"\s+(?![A-Za-z0-9,])|(?<![A-Za-z0-9,])\s+"
)  # that of `1 2`, `1 ,200` and `1, 200` stays
_SYMBOLS = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u00f7": "/", "\u2044": "/",
     "\u03c0": r"\pi ", "\u221e": r"\infty ", "\u00b0": r"^\circ ", "\u00b2": "^2", "\u00b3": "^3", "\u00bd": r"\frac{1}{2}"}
)  # fmt: skip
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")
# A dash or a star with a space is a bullet, not arithmetic.
_MATH_BEFORE = re.compile(r"(?:[-*\d]|[+^/]\s*|\\(?:sqrt|frac)\{)\Z")
_MATH_AFTER = re.compile(r"[-(\d]|\s*[+^/]|\\(?:frac|sqrt)|\*\d")
_ROOT_SIGN = re.compile(r"\u221a\s*\{?(\d+)\}?")
_PI = re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])")
_ROW_SPACE = re.compile(r"\\\\\[[^\]]*\]")


def normalize(text: str) -> str:
    """The answer without what does not change it: delimiters, `\boxed{}`, spacing, other spellings of the same symbol."""
    text = unboxed(text).strip()
    if _PLAIN.fullmatch(text):
        return text
    for left, right in _DELIMITERS:
        inner = text[len(left) : -len(right)]
        if (
            text.startswith(left)
            and text.endswith(right)
            and inner
            and left not in inner
            and right not in inner
        ):
            text = inner.strip()
    if whole := _TEXT.fullmatch(text):
        text = whole[1].strip()
    text = (
        _FRAC.sub(r"\\frac", text.translate(_SYMBOLS))
        .replace("{,}", ",")
        .replace(r"\varnothing", r"\emptyset")
    )
    text = _ROW_SPACE.sub(r"\\\\", _PI.sub(r"\\pi", _ROOT_SIGN.sub(r"\\sqrt{\1}", text)))
    return _NEEDLESS_SPACE.sub("", _SPACE.sub(" ", _NOTHING.sub("", text)))


def unboxed(text: str) -> str:
    """The content of the only box. A box that is part of a formula, as in `-\boxed{7}`, becomes a bracket of it."""
    if match := _BOX.fullmatch(text):
        return match[1]
    boxes = boxed(text)
    if len(boxes) != 1:
        return text
    before, _, after = text.partition("\\boxed")
    after = after[after.index(boxes[0]) + len(boxes[0]) + 1 :]
    if _MATH_BEFORE.search(before) or _MATH_AFTER.match(after):
        return f"{before}({boxes[0]}){after}"
    return boxes[0]


def boxed(text: str) -> list[str]:
    """What stands inside each `\boxed{}` of the text that is closed and not inside another one."""
    found: list[str] = []
    if "\\boxed" not in text:
        return found
    opened: list[
        int
    ] = []  # for each open brace, where the content of the box that it is in starts; 0: in none
    for match in re.finditer(r"\\boxed\s*\{|\\[{}]|[{}]", text):
        if match[0] == "}" and opened:
            start = opened.pop()
            if start and not any(opened[-1:]):
                found.append(text[start : match.start()])
        elif match[0] == "{":
            opened.append(opened[-1] if opened else 0)
        elif match[0].startswith("\\boxed"):
            opened.append(match.end())
    return found
