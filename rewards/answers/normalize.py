r"""Normalises the spelling of an answer: delimiters, `\boxed{}`, spacing, symbols.

Two answers with the same normalised text are the same answer.
"""

import re

# Pairs around a whole answer that are not part of it.
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))

# Delimiters anywhere, but not the distance of a matrix's rows: \\[1ex]
_DOLLAR = re.compile(r"(?<!\\)\$")
_BRACKET_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")

# A plain number needs nothing else.  matches: 72  -1,200  3.5
_PLAIN_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?", re.ASCII)

# A whole answer in a text command.  matches: \text{east}  \mathrm{B}
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|emph|underline|mathrm|mathbf|mbox)\{([^{}\\]*)\}"
)

_SYMBOLS = str.maketrans(
    {
        "\u2212": "-",  # minus sign
        "\u2013": "-",  # en dash
        "\u2014": "-",  # em dash
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u00f7": "/",
        "\u2044": "/",  # fraction slash
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u00b0": r"^\circ ",
        "\u00b2": "^2",
        "\u00b3": "^3",
        "\u00bd": r"\frac{1}{2}",
        "\u222a": r"\cup ",
        "\u2229": r"\cap ",
        "\u2208": r"\in ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u2260": r"\ne ",
        "\u00b1": r"\pm ",
        "\u2205": r"\emptyset ",
        "\u211d": r"\mathbb{R}",
        # Digits of the width of Chinese characters.
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
    }
)

# Applied in this order after the symbols: a sign without which there is nothing to do, what is
# replaced, by what, and why or an example.
_RULES = tuple(
    (sign, re.compile(pattern), replacement)
    for sign, pattern, replacement in (
        # LaTeX out of JSON or Python, with two backslashes: \\frac
        (r"\\", r"(?<!\\)\\\\(?=(?:[dt]?frac|left|right|sqrt|text|pi|le|ge|cup|infty)\b)", r"\\"),
        ("frac", r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),  # \dfrac12 is \frac12
        ("frac", r"\\frac ?(\d) ?(\d)", r"\\frac{\1}{\2}"),
        (",", r"\{,\}|,\\!\s?(?=\d{3})", ","),  # 1{,}200  1,\! 200
        (" i", r"(?<=\d) i(?![A-Za-z])", "i"),  # 2+3 i
        ("varnothing", r"\\varnothing", r"\\emptyset"),
        ("\u221a", r"\u221a\s?\{?(\d+)\}?", r"\\sqrt{\1}"),  # √2
        ("sqrt(", r"\\sqrt\((\d+)\)", r"\\sqrt{\1}"),  # \sqrt(2)
        ("mathrm", r"\\mathrm ?\{([A-Za-z])\}", r"\1"),  # \mathrm{e}
        ("binom", r"\\[dt]?binom ?(\w) ?(\w)", r"\\binom{\1}{\2}"),  # \binom n2
        ("binom", r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\le", r"\\le(?:q|qslant)(?![A-Za-z])", r"\\le "),
        ("<=", r"<=", r"\\le "),
        (r"\ge", r"\\ge(?:q|qslant)(?![A-Za-z])", r"\\ge "),
        (">=", r">=", r"\\ge "),
        (r"\ne", r"\\neq(?![A-Za-z])", r"\\ne "),
        ("!=", r"!=", r"\\ne "),
        ("pi", r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi"),  # 2pi, but not pint
        (r"\\[", r"\\\\\[[^\[\]]*\]", r"\\\\"),  # the distance of matrix rows: \\[1ex]
        ("\\", r"(?<!\\)\\(?:(?:left|right|displaystyle)(?![A-Za-z])|!)", ""),  # \left( 1 \right)
        ("\\", r"(?<!\\)\\[,; ]", " "),  # LaTeX's spaces: 5\,000
        ("", r"~|\s+", " "),
        # Spaces that separate nothing; those of `1 2`, `1 ,200` and `1, 200` stay.
        (" ", r"\s+(?![A-Za-z0-9,])|(?<![A-Za-z0-9,])\s+", ""),
    )
)

_BOX = re.compile(r"\\boxed\{([^{}]*)\}")  # matches: \boxed{72}
_BRACE = re.compile(r"\\boxed\s*\{|\\[{}]|[{}]")  # matches: \boxed{  \{  \}  {  }

# A box with one of these beside it is part of a formula. A dash or a star with a space is a bullet.
_MATH_BEFORE = re.compile(
    r"(?:[-*\d]|[+^/]\s*|\\(?:sqrt|frac)\{)\Z"
)  # matches: 2  -  + in `2 + \boxed`
_MATH_AFTER = re.compile(r"[-(\d]|\s*[+^/]|\\(?:frac|sqrt)|\*\d")  # matches: ^2 in `\boxed{7}^2`


def normalize(text: str) -> str:
    r"""The answer without what does not change it.

    Removes delimiters, `\boxed{}` and needless spacing, and writes a symbol in one way.
    """
    text = unboxed(text).strip()
    # Most answers: nothing to do.
    if _PLAIN_NUMBER.fullmatch(text):
        return text
    # What surrounds the whole answer …
    text = _strip_delimiters(text)
    whole = _TEXT_COMMAND.fullmatch(text)
    if whole:
        text = whole[1].strip()
    # … then what may stand anywhere in it.
    if not text.isascii():
        text = text.translate(_SYMBOLS)
    for sign, pattern, replacement in _RULES:
        if sign in text:
            text = pattern.sub(replacement, text)
    return text


def unboxed(text: str) -> str:
    r"""The content of the only box; other texts as they are.

    A box that is part of a formula, as in `-\boxed{7}`, becomes a bracket of it.
    """
    match = _BOX.fullmatch(text)
    if match:
        return match[1]
    boxes = boxed(text)
    # Several boxes are several answers; the text keeps them apart.
    if len(boxes) != 1:
        return text
    # One box inside a text: a factor of a term, or the answer in a sentence.
    before, _, after = text.partition("\\boxed")
    after = after[after.index(boxes[0]) + len(boxes[0]) + 1 :]
    if _MATH_BEFORE.search(before) or _MATH_AFTER.match(after):
        return f"{before}({boxes[0]}){after}"
    return boxes[0]


def boxed(text: str) -> list[str]:
    r"""The content of each `\boxed{}` that is closed and not inside another one."""
    return [text[start:end] for start, end in box_spans(text)]


def box_spans(text: str) -> list[tuple[int, int]]:
    r"""Where the contents of these boxes start and end."""
    found: list[tuple[int, int]] = []
    if "\\boxed" not in text:
        return found
    # For each open brace, where the content of the outermost box around it starts; 0 for none.
    open_braces: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "}" and open_braces:
            start = open_braces.pop()
            is_nested = bool(open_braces) and open_braces[-1] > 0
            if start and not is_nested:
                found.append((start, match.start()))
        elif match[0] == "{":
            open_braces.append(open_braces[-1] if open_braces else 0)
        elif match[0].startswith("\\boxed"):
            open_braces.append(match.end())
    return found


def _strip_delimiters(text: str) -> str:
    """The text without the pairs around all of it."""
    for left, right in _DELIMITERS:
        if not (text.startswith(left) and text.endswith(right)):
            continue
        inner = text[len(left) : -len(right)]
        # A currency is no delimiter: $\$36$
        bare = inner.replace("\\$", "")
        if bare and not inner.endswith("\\") and left not in bare and right not in bare:
            text = inner.strip()
    return text


def without_delimiters(text: str) -> str:
    r"""`text` without the signs of formulas, such as those of `$28$ percent`; `\$` stays."""
    dollars = len(_DOLLAR.findall(text))
    if dollars and dollars % 2 == 0:
        text = _DOLLAR.sub(" ", text)
    return _BRACKET_DELIMITER.sub(" ", text).strip()
