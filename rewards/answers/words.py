"""Sets of words, and numbers that are written in words: `five`, `one hundred and five`."""


def word_set(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def _numbered(text: str, start: int, step: int) -> dict[str, int]:
    """The words of `text`, each with its number."""
    return {word: start + step * index for index, word in enumerate(text.split())}


_SMALL = _numbered(_ONES, 0, 1) | _numbered(_TENS, 20, 10)
_LARGE = {"thousand": 1000, "million": 1_000_000}
_WORDS = frozenset([*_SMALL, *_LARGE, "hundred"])


def replace_number_words(text: str) -> str:
    """`text` with the number at its start in digits: `forty-two clips` is `42 clips`."""
    first = text[:10].lower().partition(" ")[0].partition("-")[0]
    if first not in _SMALL:
        return text
    # The number goes as far as its words do; `and` is one of them between two others.
    tokens = text.replace("-", " ", 3).split(" ")
    count = 0
    while count < len(tokens) and _continues_number(tokens, count):
        count += 1
    value = _read([token.lower() for token in tokens[:count] if token.lower() != "and"])
    return text if value is None else " ".join([str(value), *tokens[count:]])


def _continues_number(tokens: list[str], position: int) -> bool:
    token = tokens[position].lower()
    if token != "and":
        return token in _WORDS
    following = tokens[position + 1 : position + 2]
    return tokens[position - 1].lower() == "hundred" and bool(following) and following[0] in _SMALL


def _read(words: list[str]) -> int | None:
    """The value of number words; `None` for words that do not go together, such as `one two`."""
    total = 0  # of the thousands and millions so far
    group = 0  # below a thousand
    last = 1000  # the size of the last word: what follows must be smaller
    for word in words:
        if word in _LARGE:
            total += max(group, 1) * _LARGE[word]
            group, last = 0, 1000
        elif word == "hundred":
            if not 0 < group < 10:
                return None
            group, last = group * 100, 100
        else:
            value = _SMALL[word]
            is_unit_after_tens = last in range(20, 100) and 0 < value < 10
            if last < 100 and not is_unit_after_tens:
                return None
            group, last = group + value, value
    return total + group
