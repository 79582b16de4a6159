"""Sentiment of a text by VADER: a lexicon and rules, so that no model judges a model."""

from functools import cache
from typing import Any


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def valence(text: str) -> float:
    """VADER's compound score, -1 (negative) to 1 (positive)."""
    return float(_analyser().polarity_scores(text)["compound"])
