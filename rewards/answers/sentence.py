r"""Takes the bare answer out of the words around it.

    The answer is 72 clips.   Total: 72   Therefore $x = 7$.   **Final Answer:** $7$

Only what leaves the answer as it is goes: lead-ins, delimiters, punctuation. Whatever else there
is stays in the text, where the comparison stumbles over it. A text that denies or asks has no
answer.
"""

import re

from rewards.answers.box import read_boxes
from rewards.answers.normalize import box_spans, without_delimiters
from rewards.answers.words import word_set

# Formulas: no words, no other text.  matches: 2\sqrt{3}  x^2+1
_FORMULA = re.compile(
    r"(?>[0-9+\-/^_(){}\[\]=, ]|\\[{}]|\\[A-Za-z]+|[A-Za-z](?![A-Za-z]))++", re.ASCII
)
_WHOLE_BOX = re.compile(r"\\boxed\{((?>[^{}\\]|\\.|\{[^{}]*\})*+)\}")

_MAX_LENGTH = 10_000  # characters; longer texts have no answer

# Emphasis and tags around a part of the text.  matches: **72**  `72`  ```72```  <b>  </b>
_EMPHASIS = re.compile(r"\*\*([^*`]{1,2000})\*\*|`{1,3}([^`]{1,2000})`{1,3}")
_MARKDOWN = re.compile(r"\A(?:#{1,6} |\\approx(?![A-Za-z])|~)|__")
_TAG = re.compile(r"</?(?:b|i|u|p|em|strong|span|code)>|<br ?/?>", re.IGNORECASE)

# What models write behind their answer.  matches: . I hope it is correct.  <|im_start|>user
_TRAILER = re.compile(r"I hope it is correct\.?|<\|[a-z_]{1,20}\|>(?:user|assistant)?")
# matches: is our answer  is the correct solution  is correct
_CONFIRMATION = re.compile(
    r",? is (?:(?:the|our|my) )?(?:(?:final|correct|right) )?(?:answer|solution|result|correct)\Z"
)
_ESCAPED_BOX = re.compile(r"(?<!\\)\\\\boxed\b")  # with two backslashes, as in JSON
_CONCLUSION = re.compile(r"\s(?:So|Thus|Therefore|Hence),? ")
_FINAL_ANSWER = re.compile(r"(?:\b(?:the|my|our) )?\bfinal answer\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]{2,}")
_MIN_SOLUTION_WORDS = 5  # before a final answer; anything shorter is another answer

# A lead-in: words, and letters in dollars, as in: The largest $n$ is
_LEAD_IN = re.compile(r"(?:(?:[A-Za-z][A-Za-z'\u2019-]{0,30}|\$[A-Za-z(), ]{1,12}\$)[ ,]+){1,30}")
_TITLE = re.compile(r"[A-Za-z$][A-Za-z$'\u2019 -]{1,100}:(?=[\s$\\*\d-])")  # matches: Total:
# The words after which the answer comes.
_CLOSERS = word_set(
    "is are was were be equals equal answer so thus therefore hence then that get have has had "
    "obtain find cost costs total it's sold made earned earns spent spends paid pays needs need "
    "took takes gets got saves saved ate eats ran walked used uses bought buys weighs lasts "
    "received receives gave won read reads drove traveled collected baked planted"
)

# Words of a lead-in after which the answer is another one.
DENIAL = re.compile(
    r"\b(?:not|no|nor|never|neither|cannot|wrong|incorrect|false|half|twice|double|triple|either"
    r"|(?:one|a) (?:third|quarter|fourth|fifth|tenth)|between|except|unless|instead|rather|minus"
    r"|plus|times|divided|multiplied|squared|cubed|negative"
    r"|(?:less|more|fewer|greater|larger|smaller|bigger|other) than"
    r"|at (?:least|most)|up to)\b|n['\u2019]t\b",
    re.IGNORECASE,
)


def bare_answer(text: str) -> str | None:
    """The answer in the text of an answer block; `None` if there is none."""
    if len(text) > _MAX_LENGTH:
        return None
    whole_box = _WHOLE_BOX.fullmatch(text)
    if whole_box:
        text = whole_box[1]
    text = _MARKDOWN.sub("", text)
    if _FORMULA.fullmatch(text) and "boxed" not in text:
        return text
    text = _TAG.sub(" ", _EMPHASIS.sub(lambda match: match[1] or match[2], text))
    text = _ESCAPED_BOX.sub(r"\\boxed", _TRAILER.sub(" ", text)).strip()
    final = _after_final_answer(text)
    if final is None:
        return None
    boxes = box_spans(final)
    if boxes:
        return read_boxes(final, boxes)
    if "?" in final:
        return None
    # Punctuation, confirmation and lead-in come off from the outside in.
    final = _CONFIRMATION.sub("", _without_full_stop(final))
    stripped = _without_lead_in(final.strip())
    if stripped is None:
        return None
    return _in_one_line(without_delimiters(stripped))


def _after_final_answer(text: str) -> str | None:
    """What stands behind the last `final answer`; `None` if what stands before is no solution."""
    anchors = list(_FINAL_ANSWER.finditer(text))
    # Without one, a solution ends in a sentence that concludes.
    if not anchors:
        conclusions = list(_CONCLUSION.finditer(text)) if "\\boxed" not in text else []
        start = conclusions[-1].start() if conclusions else 0
        is_solution = len(_WORD.findall(text, 0, start)) >= _MIN_SOLUTION_WORDS
        if is_solution:
            return text[start:].lstrip()
        return text
    before = text[: anchors[0].start()].strip(" *#\n")
    is_solution = len(_WORD.findall(before)) >= _MIN_SOLUTION_WORDS
    if before and not is_solution and not _LEAD_IN.fullmatch(before + " "):
        return None
    after = text[anchors[-1].end() :].lstrip(" :*\n")
    # A statement about the final answer, or the answer itself.
    if not after.startswith(("is ", "is:")):
        return after
    return after[3:].lstrip()


def _without_full_stop(text: str) -> str:
    text = text.rstrip()
    if text.endswith((".", ",", ";", ":")) and not text.endswith(".."):
        text = text[:-1].rstrip()
    # Also inside the dollar signs: $72.$
    if text.endswith(".$"):
        return text[:-2] + "$"
    return text


def _without_lead_in(text: str) -> str | None:
    """`text` without the words that only announce the answer; `None` if they deny it."""
    title = _TITLE.match(text)
    words = _LEAD_IN.match(text)
    end = title.end() if title else 0
    if words and not title:
        end = _end_of_lead_in(words[0])
    if DENIAL.search(text, 0, end):
        return None
    rest = text[end:].strip()
    # `Final answer: the total is 72` has two.
    if end == 0 or not rest:
        return rest
    return _without_lead_in(rest)


def _end_of_lead_in(words: str) -> int:
    """Where the last word ends after which an answer comes; 0 without one."""
    end = 0
    for match in re.finditer(r"[^ ,]+[ ,]+", words):
        if match[0].strip(" ,").lower() in _CLOSERS:
            end = match.end()
    return end


def _in_one_line(text: str) -> str:
    """The lines of `text`, which are answers of their own, set apart by semicolons."""
    if "\n" not in text:
        return text
    if r"\begin" in text:
        return text.replace("\n", " ")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return "; ".join(lines)
