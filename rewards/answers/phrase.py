"""Decides whether the words behind a number only say what it counts or measures."""

import re

from rewards.answers.dimensions import find_unit
from rewards.answers.words import word_set

# matches: clips  m^2  o'clock  ft.  year-old
_WORD = re.compile(r"[A-Za-z][A-Za-z&'\u2019-]{0,40}\.?(?:\^\{?[23]\}?)?")
_COUNT = re.compile(r"\$?\d{1,5}(?:st|nd|rd|th|-[a-z]+)?")  # matches the number of: after 2 weeks
_SEPARATORS = re.compile(r"[(),:]| / ")

# Words that make the number another one, or no statement.
_SPOILERS = word_set(
    "or no isn't aren't wasn't not never wrong incorrect false minus plus divided multiplied "
    "squared cubed power factorial sqrt modulo mod but maybe perhaps actually instead except "
    "wait rather answer is unless correction sorry hmm tenths hundredths thousandths dozen "
    "dozens hundred hundreds thousand thousands million millions mil mn billion bn trillion"
)
# Pairs of words that do.
_SPOILED = re.compile(
    r"\bat (?:most|least)\b|\band (?:some|more)\b"
    r"|\band (?:(?:an?|one|three) )?(?:half|thirds?|quarters?)\b"
    r"|^(?:to|over|by|times) (?:one|two|three|four|five|six|seven|eight|nine|ten|twenty)\b"
)
# Words that only do directly behind the number.  matches: 417 half  417 to 589
_NOT_FIRST = word_set(
    "half third fourth fifth quarter tenth point and than thru between one two three four five six "
    "seven eight nine ten twelve twenty"
)
# Words that are spoilers elsewhere.
# matches: who do not like it  is left  is the greatest difference  incorrect answers
_DESCRIPTION = re.compile(
    r"\b(?:who|that|which|do|did|are|were|have|will|has|would|when|by)(?: \w{1,20})? not\b"
    r"|\bis (?=left|his|her|their|the (?:\w{1,20}est|total|amount|remaining|least)\b)"
    r"|\bincorrect answers|\b(?:with|have|has) no\b|\bnot used\b"
    r"|(?<=[a-z]) or (?!so|more|less|fewer|not|no|even|maybe|perhaps|one|two|three|\d)"
)

# Letters that are units or articles; others are variables.
_LETTERS = word_set("m g s h l L a")

# Words before which another number would be another value.
_BEFORE_VALUE = word_set("and is are be was it then so")
# Words between which a number describes.  matches: after 2 weeks
_BEFORE_COUNT = word_set(
    "after in for every per of from than the last these those all by within with at each next "
    "during over first on to other his her their its"
)


def is_noun_phrase(text: str) -> bool:
    """Whether `text`, what stands behind a number, leaves the number as it is.

    ` clips in May`, `cm`, ` years old`, but not ` or 589`, ` minus 5`, `x`, ` is wrong`.
    """
    # Glued to the number, only units are words: 5cm, but not 5x, 3rd or 417k.
    if text[0].isalpha():
        word = re.split(r"[^A-Za-z]", text, maxsplit=1)[0]
        if len(word) < 2 or find_unit(word) is None:
            return False
    tokens = _SEPARATORS.sub(" ", text.replace("/", " / ")).split()
    if not tokens:
        return False
    if not all(_is_word(tokens, position) for position in range(len(tokens))):
        return False
    # Which words are they?
    words = [token.lower().rstrip(".").replace("\u2019", "'") for token in tokens]
    phrase = " ".join(words)
    if words[0] in _NOT_FIRST or _SPOILED.search(phrase):
        return False
    return _SPOILERS.isdisjoint(_DESCRIPTION.sub(" ", phrase).split())


def _is_word(tokens: list[str], position: int) -> bool:
    token = tokens[position]
    if _COUNT.fullmatch(token):
        if not 0 < position < len(tokens) - 1:
            return False
        before = tokens[position - 1].lower()
        if before in _BEFORE_COUNT or before.endswith("ing"):
            return True
        return position >= 3 and before not in _BEFORE_VALUE
    if len(token) == 1:
        is_label = token.isupper() and position > 1  # matches the last letter of: from store B
        return token in _LETTERS or is_label
    # A full stop ends an abbreviation, not a sentence.
    is_last = position == len(tokens) - 1
    is_abbreviation = len(token) <= 4 or find_unit(token) is not None
    return bool(_WORD.fullmatch(token)) and (not token.endswith(".") or is_last or is_abbreviation)
