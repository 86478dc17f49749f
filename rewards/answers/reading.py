r"""What may be handed to math-verify: only texts of which it reads everything.

Of `417\cup 589`, `417|589` or `417\Rightarrow 589` it reads one number and drops the rest.
"""

import re

from rewards.answers.dimensions import Unit, find_unit
from rewards.answers.words import word_set

# Commands that math-verify reads wherever they stand.
_COMMANDS = word_set(
    "frac sqrt cdot times div pi infty circ sin cos tan cot sec csc arcsin arccos arctan log ln "
    "exp binom pm mp text mbox textbf textnormal mathrm mathbf mathbb begin end overline bar vec "
    "hat angle in alpha beta gamma delta epsilon varepsilon theta lambda mu nu phi varphi psi "
    "rho sigma tau omega Delta Gamma Omega quad equiv approx emptyset prime rm lfloor rfloor "
    "lceil rceil"
)
# Commands of sets and relations, for golds that are such.
_SET_COMMANDS = word_set("cup cap setminus le ge lt gt ne lor land")
_COMMAND = re.compile(r"\\([A-Za-z]+)")

# Everything else that may stand in an answer.
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9 +\-*/^_(){}\[\]=.,'&%$|]|\\[\\{}$%|])*+", re.ASCII)
_TEXT = re.compile(r"\\(?:text|mbox|textbf|textnormal|mathrm|rm) ?\{([^{}]{0,200})\}")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3,}")
_FUNCTIONS = word_set("sin cos tan log exp sqrt and")
_GLUED = re.compile(r"(?<=[\d)])(or|and)(?=[A-Za-z(\\-])")  # matches: x=1orx=2
_NAMED = re.compile(r"([A-Za-z](?:_\{?\w{1,5}\}?)?)=([^=,]{1,100})")
_ENVIRONMENT = re.compile(r"\\(?:begin|end) ?\{[a-z]{1,9}\*?\}(?:\{[clr|]{1,30}\})?")
_UNIT = re.compile(
    r"(?:\\(?:text|mbox|textnormal|textbf|mathrm) ?\{ ?([^{}]{1,40})\}"  # matches: \text{ cm}^2
    r"|(?<=[\d)}i]) ([A-Za-z ]{1,40}))(\^\{?[23]\}?)?\Z"  # matches: square inches
)


def split_unit(text: str) -> tuple[str, Unit | None]:
    """The text without the unit at its end, and the unit."""
    match = _UNIT.search(text)
    if not match:
        return text, None
    phrase = (match[1] or match[2]).strip() + (match[3] or "")
    unit = find_unit(phrase)
    if unit is None and phrase not in ("units", "square units", "cubic units"):
        return text, None
    return text[: match.start()].strip(), unit


def is_wholly_read(gold: str, answer: str) -> bool:
    """Whether math-verify reads everything in the answer, or what it drops is in the gold too."""
    answer = _GLUED.sub(r" \1 ", answer)
    if "\\frac{d" in answer and "\\frac{d" not in gold:
        return False
    is_set = bool(
        re.search(
            r"\\(?:cup|cap|setminus|in|le|ge|ne|lt|gt)(?![A-Za-z])|[<>]|[\[(].*,.*[\])]", gold
        )
    )
    known = _COMMANDS | set(_COMMAND.findall(gold))
    if is_set:
        known |= _SET_COMMANDS
    if not known.issuperset(_COMMAND.findall(answer)):
        return False
    # Signs: those of the gold, and the usual ones.
    signs = set(gold) - set("?")
    if is_set:
        signs |= set("<>")
    if _is_list(gold):
        signs.add(";")
    bare = "".join(sign for sign in _COMMAND.sub(" ", _TEXT.sub(" ", answer)) if sign not in signs)
    if not _CHARACTERS.fullmatch(bare) or (".." in answer and ".." not in gold):
        return False
    if "\\\\" in answer and "\\begin" not in answer:
        return False
    if re.search(r"\d ?\| ?\d", answer) or answer.count("|") % 2:
        return False
    return _has_known_words(gold, answer)


def _has_known_words(gold: str, answer: str) -> bool:
    words = _WORD.findall(_COMMAND.sub(" ", _ENVIRONMENT.sub(" ", answer)))
    # Not the products of the gold's variables.
    letters = set(gold)
    words = [word for word in words if not (word.islower() and letters.issuperset(word))]
    known = set(_WORD.findall(gold)) | _FUNCTIONS
    if _is_list(gold):
        known.add("or")
    return known.issuperset(words)


def _is_list(gold: str) -> bool:
    return bool(re.search(r"[,;]|\\(?:pm|cup|quad)(?![A-Za-z])|\b(?:and|or)\b|[<>]", gold))


def align_components(gold: str, answer: str) -> tuple[str, str] | None:
    """Named components in the order of the gold's: `y=3, x=5` is `(5,3)`."""
    gold_parts = _read_components(gold)
    answer_parts = _read_components(answer)
    if gold_parts and answer_parts and set(gold_parts) == set(answer_parts):
        names = list(gold_parts)
        return _as_point(gold_parts, names), _as_point(answer_parts, names)
    if gold_parts and not answer_parts and "," in answer:
        return _as_point(gold_parts, list(gold_parts)), f"({answer.strip('()')})"
    if answer_parts and not gold_parts and gold.startswith("("):
        return gold, _as_point(answer_parts, sorted(answer_parts))
    return gold, answer


def _read_components(text: str) -> dict[str, str]:
    """The values of `x=3,y=5` by their names; empty for anything else, such as `x=3,x=5`."""
    parts = [part.strip() for part in re.split(r",|\\text ?\{ ?and ?\}|\band\b|\\quad", text)]
    named = [_NAMED.fullmatch(part) for part in parts if part]
    values = {match[1]: match[2] for match in named if match}
    is_complete = len(values) == len(named) and len(named) > 1
    return values if is_complete else {}


def _as_point(values: dict[str, str], names: list[str]) -> str:
    return "(" + ",".join(values[name] for name in names) + ")"
