"""Finds forbidden words in a text by their stems: "worries" and "worriedly" are "worry"."""

import re
from functools import cache

import snowballstemmer

_STEMMER = snowballstemmer.stemmer("english")


@cache
def _stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))


def words(text: str) -> list[str]:
    """The words of an English text, in lower case; hyphens part words, apostrophes do not."""
    return re.findall(
        r"[a-z]+(?:'[a-z]+)?", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    )


def stems(text: str) -> str:
    """The words' stems (Snowball, English), parted and surrounded by single spaces."""
    return f" {' '.join(_stem(word) for word in words(text))} "


class Banned:
    """Words and phrases that a text must not contain in any inflection.

    Args:
        phrases: a phrase of several words forbids this sequence only.
    """

    def __init__(self, phrases: list[str]) -> None:
        self._stems = {phrase: stems(phrase) for phrase in phrases}

    def found_in(self, text: str) -> str | None:
        """The first of the phrases that the text contains, or None."""
        stemmed = stems(text)
        return next((phrase for phrase, own in self._stems.items() if own in stemmed), None)
