"""Figures of the corpus, as JSON: `python -m vagus_server.packs.corpus_report [FOLDER]`.

They say how varied the texts are, and how much of a concept can be told from words alone: from
all of a story's words, from all but pronouns (a concept is told in one person only), and from
the first ten, which set the scene before anything is felt.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vagus_server.extract.heldout import accuracy
from vagus_server.extract.lexical import word_ranks, word_ranks_of_others
from vagus_server.packs.corpus import CORPUS, Corpus, Story, load_corpus
from vagus_server.packs.wording import stems, words

_OPENING = 10
_SHARED = 8
_PRONOUNS = re.compile(
    r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves|he|him|his|himself|she|her|hers|herself)"
    r"(?:['\N{RIGHT SINGLE QUOTATION MARK}](?:m|ve|d|ll|s|re))?\b",
    re.IGNORECASE,
)


def report(corpus: Corpus) -> dict[str, Any]:
    """All figures; shares are of 1, accuracies by nearest tf-idf centroid of stems."""
    sets = {"stories": corpus.stories, "other": corpus.other, "earlier": corpus.earlier}
    return {
        "concepts": len(corpus.concepts),
        "sets": {name: _variety(told) for name, told in sets.items() if told},
        "told_in_one_person_only": _one_person(corpus.stories),
        "words_alone": _words_alone(corpus),
        "overlap": _overlap(sets),
        "giveaways": _giveaways(corpus.stories),
    }


def _variety(told: list[Story]) -> dict[str, Any]:
    tokens = [words(story.text) for story in told]
    openings = Counter(" ".join(story[:2]) for story in tokens)
    names = Counter(
        name
        for story in told
        for name in set(re.findall(r"(?<=[a-z,] )([A-Z][a-z]{2,})\b", story.text))
    )
    total = sum(map(len, tokens))
    return {
        "stories": len(told),
        "words": total,
        "distinct_words": len(set(chain.from_iterable(tokens))),
        # Of the first 70 words, which every story has: the ratio falls with length.
        "type_token_ratio_of_70_words": _rounded(
            float(np.mean([len(set(story[:70])) / len(story[:70]) for story in tokens]))
        ),
        "first_person": _rounded(sum(s.person == "first" for s in told) / len(told)),
        "distinct_openings": _rounded(len(openings) / len(told)),
        "commonest_openings": openings.most_common(5),
        "distinct_names": len(names),
        "commonest_names": names.most_common(12),
    }


def _one_person(told: list[Story]) -> int:
    """How many concepts are told in one person only."""
    pairs = {(story.concept, story.person) for story in told}
    return sum(count == 1 for count in Counter(concept for concept, _ in pairs).values())


def _words_alone(corpus: Corpus) -> dict[str, Any]:
    names = {name: i for i, name in enumerate(sorted(corpus.concepts))}
    concept = np.array([names[story.concept] for story in corpus.stories])
    topic = np.array([corpus.topics.index(story.topic) for story in corpus.stories])
    texts = [story.text for story in corpus.stories]
    bare = [_PRONOUNS.sub(" ", text) for text in texts]
    openings = [" ".join(text.split()[:_OPENING]) for text in bare]
    figures = {
        "chance_top1": _rounded(1 / len(names)),
        "topic_left_out": _accuracies(word_ranks(texts, concept, topic)),
        "topic_left_out_without_pronouns": _accuracies(word_ranks(bare, concept, topic)),
        "topic_left_out_first_ten_words": _accuracies(word_ranks(openings, concept, topic)),
    }
    for name, told in (("other", corpus.other), ("earlier", corpus.earlier)):
        if told:
            labels = np.array([names[story.concept] for story in told])
            others = [_PRONOUNS.sub(" ", story.text) for story in told]
            ranks = word_ranks_of_others(bare, concept, others, labels)
            figures[f"{name}_without_pronouns"] = _accuracies(ranks)
    return figures


def _accuracies(ranks: np.ndarray) -> dict[str, float]:
    return {f"top{top}": _rounded(float(accuracy(ranks, top))) for top in (1, 5)}


def _overlap(sets: dict[str, list[Story]]) -> dict[str, Any]:
    """Runs of eight words that two stories share, within sets and between them."""
    at: dict[tuple[str, ...], set[tuple[str, int]]] = {}
    for name, told in sets.items():
        for i, story in enumerate(told):
            tokens = words(story.text)
            for k in range(len(tokens) - _SHARED + 1):
                at.setdefault(tuple(tokens[k : k + _SHARED]), set()).add((name, i))
    shared = {run: where for run, where in at.items() if len(where) > 1}
    between = {run: where for run, where in shared.items() if len({s for s, _ in where}) > 1}
    runs = Counter(frozenset(where) for where in shared.values())
    return {
        "words_in_a_run": _SHARED,
        "stories_that_share_a_run": len(set(chain.from_iterable(shared.values()))),
        "stories_that_share_a_run_with_another_set": len(
            set(chain.from_iterable(between.values()))
        ),
        "most_runs_that_the_same_stories_share": max(runs.values(), default=0),
    }


def _giveaways(told: list[Story], least: float = 0.6, most: float = 0.05) -> dict[str, list[str]]:
    """Stems that most of a concept's stories have, and few of the others'."""
    having = [(story.concept, set(stems(story.text).split())) for story in told]
    everywhere = Counter(chain.from_iterable(bag for _, bag in having))
    number = Counter(concept for concept, _ in having)
    own = Counter((concept, stem) for concept, bag in having for stem in bag)
    found: dict[str, list[str]] = {}
    for (concept, stem), count in sorted(own.items()):
        others = (everywhere[stem] - count) / (len(told) - number[concept])
        if count / number[concept] >= least and others <= most:
            found.setdefault(concept, []).append(stem)
    return found


def _rounded(share: float) -> float:
    return round(share, 4)


def main(arguments: Iterable[str] | None = None) -> None:
    """Prints the report of the bundled corpus or of another in its format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=CORPUS)
    folder = parser.parse_args(None if arguments is None else list(arguments)).folder
    sys.stdout.write(json.dumps(report(load_corpus(folder)), indent=2) + "\n")


if __name__ == "__main__":
    main()
