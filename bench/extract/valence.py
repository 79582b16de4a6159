"""How well valence can be read from concept vectors made in other ways than the pack's.

Measures the bundled corpus once, with several windows of tokens at a time, and makes the vectors
anew for every combination of corpus, site, window, denoising and norm; a smaller corpus is some of
the topics, drawn several times. Prints JSON. The correlation is that of `vagus-server evaluate`:
ridge regression over concepts that are left out, its penalty chosen within the training rows, here
as the mean over some draws of the folds.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from vagus_server.evaluate import ridge
from vagus_server.evaluate.affect import closest_form, lexicon_valence
from vagus_server.evaluate.statistics import bootstrap, pearson
from vagus_server.extract.lexical import word_centroids
from vagus_server.extract.means import TextMeans, text_key
from vagus_server.extract.source import Source, of_corpus
from vagus_server.extract.vectors import (
    concept_vectors,
    neutral_components,
    remove_components,
    with_difference,
)
from vagus_server.packs.corpus import load_corpus

STARTS = (1, 20, 50, 80)
SHARES = (0.0, 0.25, 0.5, 0.75)
DRAWS = 3
TOPIC_DRAWS = 5
Norms = dict[str, dict[str, float]]


def measure(
    model: Path, dtype: str, source: Source, work: Path, begins: list[int]
) -> dict[str, np.ndarray]:
    """Means of the stories from every start on, and of the neutral texts; kept in `work`."""
    from vagus_server.engine.settings import EngineSettings
    from vagus_server.extract.bar import progress
    from vagus_server.extract.lengths import encode
    from vagus_server.extract.measure import TEXT_START, first_averaged, means_settings
    from vagus_server.extract.offline import Job, OfflineEngine, model_shape
    from vagus_server.models.fingerprint import model_fingerprint
    from vagus_server.plugin.wire import NO_END

    sites, hidden = model_shape(model)
    fingerprint = model_fingerprint(model)
    engine_settings = EngineSettings(
        model=model, dtype=dtype, max_batched_tokens=2048, max_model_len=2048
    )
    wanted = [("stories", start, list(source.stories)) for start in begins]
    wanted.append(("neutral", TEXT_START, list(source.neutral)))
    opened = {}
    for what, start, texts in wanted:
        settings = means_settings(fingerprint, engine_settings, start)
        keys = [text_key(settings, text) for text in texts]
        opened[f"{what}-{start}"] = TextMeans.open(work / f"{what}-{start}", keys, sites, hidden)
    if any(len(means.missing) for means in opened.values()):
        engine = OfflineEngine(
            engine_settings,
            sites,
            hidden,
            concepts=1,
            vectors=1,
            groups=1024,
        )
        for what, starts in (("stories", begins), ("neutral", [TEXT_START])):
            mine = [opened[f"{what}-{start}"] for start in starts]
            texts = list(getattr(source, what))
            missing = sorted({int(i) for means in mine for i in means.missing})
            with progress(what, len(missing)) as bar:
                for chunk in batched(missing, 256):
                    ids = [encode(engine.tokenizer, texts[i]) for i in chunk]
                    spans = [
                        tuple((first_averaged(len(t), s), NO_END) for s in starts) for t in ids
                    ]
                    jobs = [Job(t, spans=span) for t, span in zip(ids, spans, strict=True)]
                    done = []
                    for one in engine.run(jobs):
                        done.append(one)
                        bar.update()
                    for k, means in enumerate(mine):
                        means.write(
                            (chunk[one.index], one.means[k], one.norms[k], int(one.counts[k]))
                            for one in done
                        )
        engine.close()
    return {name: means.array for name, means in opened.items()}


def batched(items: list[int], size: int) -> Iterator[list[int]]:
    """The items, so many at a time."""
    return (items[i : i + size] for i in range(0, len(items), size))


def norms(names: list[str], published: Path | None) -> Norms:
    """Valence of the concepts by VADER, and by a published table if one is given."""
    tables = {"VADER": lexicon_valence()}
    if published is not None:
        with published.open(newline="") as file:
            rows = list(csv.DictReader(file))
        tables["Warriner"] = {row["Word"]: float(row["V.Mean.Sum"]) for row in rows}
    found: Norms = {}
    for what, table in tables.items():
        forms = {name: closest_form(name, table) for name in names}
        found[what] = {name: table[name] for name in names if name in table}
        found[f"{what}, closest forms"] = {n: table[form] for n, form in forms.items() if form}
    return found


def read(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Valence that is read of each row by a fit that has not seen it, mean over draws of folds."""
    draws = [ridge.predictions(rows, target, np.random.default_rng(seed)) for seed in range(DRAWS)]
    return np.asarray(np.mean(draws, axis=0))


def correlation(rows: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Of what is read with the norm, with a 95 % interval, bootstrapped over concepts."""
    found = read(rows, target)

    def again(drawn: np.ndarray) -> float:
        return pearson(found[drawn], target[drawn])

    low, high = bootstrap(len(target), again, np.random.default_rng(0), draws=500)
    return {"r": round(pearson(found, target), 3), "interval": [round(low, 3), round(high, 3)]}


def corpora(source: Source, sizes: list[int]) -> Iterator[tuple[dict[str, int], np.ndarray]]:
    """Corpora of so many topics, with which stories are in them, boolean [stories]."""
    topics = len(set(source.topic.tolist()))
    yield {"topics": topics}, np.ones(len(source.topic), dtype=bool)
    for size, draw in product(sizes, range(TOPIC_DRAWS)):
        chosen = np.random.default_rng(draw).permutation(topics)[:size]
        yield {"topics": size, "draw": draw}, np.isin(source.topic, chosen)


def variants(
    source: Source, means: dict[str, np.ndarray], site: int, begins: list[int], mine: np.ndarray
) -> Iterator[tuple[Any, ...]]:
    """Vectors [concepts, hidden] at a site from these stories, with how they were made."""
    neutral = means["neutral-1"][:, site : site + 1]
    count = len(source.descriptions)
    assert source.first_person is not None
    for start, share in product(begins, SHARES):
        stories = means[f"stories-{start}"][mine, site : site + 1]
        components = neutral_components(neutral, share)
        both = with_difference(components, stories, source.first_person[mine])
        vectors = concept_vectors(stories, source.concept[mine], count)
        for person, removed in ((False, components), (True, both)):
            made = remove_components(vectors, removed)[:, 0]
            yield {"site": site, "start": start, "share": share, "person out": person}, made


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of means")
    parser.add_argument("--norms", type=Path, help="CSV of Warriner et al. (2013)")
    parser.add_argument("--sites", default="9,11,13,15,17,19,21,23,25,27")
    parser.add_argument(
        "--starts", default=",".join(map(str, STARTS)), help="first tokens averaged"
    )
    parser.add_argument("--topics", default="", help="smaller corpora: 2,4,8")
    parser.add_argument("--model", type=Path, help="folder; default: the bundled model")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    from vagus_server.models.bundled import ensure_bundled_model

    model = arguments.model or ensure_bundled_model()
    source = of_corpus(load_corpus())
    sites, begins, sizes = (
        [int(word) for word in text.split(",") if word]
        for text in (arguments.sites, arguments.starts, arguments.topics)
    )
    means = measure(model, arguments.dtype, source, arguments.work, begins)
    names = list(source.descriptions)
    targets = {
        what: (np.array([names.index(name) for name in table]), np.array(list(table.values())))
        for what, table in norms(names, arguments.norms).items()
    }
    cells = [
        corpus | cell | {"norm": what} | correlation(vectors[rows], target)
        for corpus, mine in corpora(source, sizes)
        for site in sites
        for cell, vectors in variants(source, means, site, begins, mine)
        for what, (rows, target) in targets.items()
    ]
    words = word_centroids(list(source.stories), source.concept)
    result = {
        "concepts": {what: len(rows) for what, (rows, _) in targets.items()},
        "words alone": {w: correlation(words[rows], y) for w, (rows, y) in targets.items()},
        "cells": cells,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
