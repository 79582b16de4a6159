"""Check 7: valence and arousal in the concept vectors."""

from importlib import resources

import numpy as np

from vagus_server.evaluate import ridge
from vagus_server.evaluate.affect_pictures import by_sites, plane, scatter
from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.result import Figure, Null, Section, Table
from vagus_server.evaluate.statistics import bootstrap, pearson
from vagus_server.extract.lexical import word_centroids

#: Least correlation of valence read from the vectors with the lexicon's.
FLOOR = 0.75
#: Leading components that are compared with the norms.
_COMPONENTS = 5
_PERMUTATIONS, _NULLS = 200, 20
_LEXICON = "vader_lexicon.txt"


def lexicon_valence() -> dict[str, float]:
    """VADER's mean valence of each word, -4 to 4 (MIT; package vaderSentiment)."""
    text = resources.files("vaderSentiment").joinpath(_LEXICON).read_text(encoding="utf-8")
    return {row[0]: float(row[1]) for row in (line.split("\t") for line in text.splitlines())}


def closest_form(name: str, lexicon: dict[str, float]) -> str | None:
    """The concept's name in the lexicon, else its last word, else one without or with an ending."""
    if name in lexicon:
        return name
    words = [name, *reversed(name.replace("-", " ").split())]
    forms = list(words)
    for word in words:
        forms += [word.removesuffix(end) for end in ("ful", "ed", "d", "ly", "y", "ing")]
        forms += [word + end for end in ("ed", "ly", "ment", "ness")]
    return next((form for form in forms if form in lexicon and len(form) > 3), None)


def check(evidence: Evidence) -> Section:
    """Correlates components with norms, and reads the norms back out of the vectors."""
    e = evidence
    lexicon = lexicon_valence()
    forms = {name: closest_form(name, lexicon) for name in e.names}
    valence = {name: lexicon[form] for name, form in forms.items() if form}
    arousal = {n: r for n, r in e.texts.arousal.ratings.items() if n in e.names}
    centred = e.vectors - e.vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    components = (u * s)[:, :_COMPONENTS]
    share = s**2 / (s**2).sum()
    figures: list[Figure] = []
    read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    by_site: dict[str, list[float]] = {}
    words = word_centroids([story.text for story in e.corpus.stories], e.concept)
    for what, ratings in (("valence", valence), ("arousal", arousal)):
        rows, target = e.index(list(ratings)), np.array(list(ratings.values()))
        if len(rows) < 3 * ridge.PENALTIES.size:
            continue
        figures.append(_component(e, what, components[rows], target))
        found = ridge.predictions(e.vectors[rows], target, e.rng())
        read[what] = found, target
        figures.append(_readable(e, what, rows, found, target))
        figures.append(_words_alone(e, what, words[rows], target))
        by_site[what] = _by_site(e, list(ratings), target)
    exact = sum(form == name for name, form in forms.items())
    rows_ = [
        [n, forms[n] or "", *(f"{d[n]:+.1f}" if n in d else "" for d in (valence, arousal))]
        + [f"{c:+.2f}" for c in components[i] / np.abs(components).max()]
        for i, n in enumerate(e.names)
    ]
    columns = ["concept", "form in the lexicon", "valence", "arousal"]
    columns += [f"PC{i + 1} ({share[i]:.0%})" for i in range(components.shape[1])]
    correlations = {
        f"PC{k + 1}": {
            what: round(pearson(components[e.index(list(r)), k], np.array(list(r.values()))), 3)
            for what, r in (("valence", valence), ("arousal", arousal))
            if len(r) > 2
        }
        for k in range(components.shape[1])
    }
    signs = {k: v.get("valence", 1.0) for k, v in correlations.items()}
    return Section(
        key="affect",
        title="Valence and arousal",
        method=[
            f"Valence: VADER's lexicon, {exact} of {len(e.names)} concepts by their own name and "
            f"{len(valence) - exact} by a closest form; {len(e.names) - len(valence)} have none. "
            f"Arousal: {e.texts.arousal.source} (scale {e.texts.arousal.scale}); published norms "
            "that come with a package are for research only, so take the arousal lines as weak "
            "evidence.",
            "Components are of the pack's vectors at the readout site, centred. Readable: ridge "
            "regression, ten folds over concepts, its penalty chosen on the training rows alone. "
            "Synonyms sit in different folds, so this says that valence is laid out regularly, "
            "not that it generalises to unlike words. Null: ratings permuted, and random vectors. "
            "Words alone: the same from mean tf-idf of each concept's stories, without any model. "
            "The paper finds r = 0.81 of PC1 with valence and 0.66 of PC2 with arousal.",
        ],
        figures=figures,
        tables=[
            Table(
                "Components and norms",
                ["component", "share of variance", "r with valence", "r with arousal"],
                [
                    [k, f"{share[i]:.1%}", f"{v.get('valence', 0):+.2f}", f"{v['arousal']:+.2f}"]
                    for i, (k, v) in enumerate(correlations.items())
                    if "arousal" in v
                ],
                folded=False,
            ),
            Table("Each concept", columns, rows_),
        ],
        pictures=[
            plane(e, components, share, valence, signs),
            *scatter(read),
            *by_sites(by_site, e.site, FLOOR),
        ],
        data={"correlations": correlations, "lexicon_forms": forms, "read_by_site": by_site},
    )


def _component(e: Evidence, what: str, components: np.ndarray, target: np.ndarray) -> Figure:
    """The leading component that goes with the norm most closely."""
    rng = e.rng()

    def strengths(values: np.ndarray) -> np.ndarray:
        return np.array([abs(pearson(column, values)) for column in components.T])

    found = strengths(target)
    best = int(found.argmax())
    column = components[:, best]
    interval = bootstrap(len(target), lambda d: abs(pearson(column[d], target[d])), rng)
    permuted = [strengths(rng.permutation(target)).max() for _ in range(_PERMUTATIONS)]
    return Figure(
        f"|r| of {what} with the component closest to it",
        float(found[best]),
        interval,
        Null(shuffled=np.array(permuted)),
        note=f"PC{best + 1}, of the first {components.shape[1]}; the null chooses too",
    )


def _readable(
    e: Evidence, what: str, rows: np.ndarray, found: np.ndarray, target: np.ndarray
) -> Figure:
    rng = e.rng()
    interval = bootstrap(len(target), lambda d: pearson(found[d], target[d]), rng)
    drawn = np.stack([rng.permutation(target) for _ in range(_PERMUTATIONS)], axis=1)
    guessed = ridge.predictions(e.vectors[rows], drawn, rng)
    permuted = [pearson(a, b) for a, b in zip(guessed.T, drawn.T, strict=True)]
    random = [
        pearson(ridge.predictions(vectors[rows], target, rng), target)
        for vectors in e.random_vectors[:_NULLS]
    ]
    return Figure(
        f"{what} read from the vectors (r)",
        pearson(found, target),
        interval,
        Null(np.array(random), np.array(permuted)),
        floor=FLOOR if what == "valence" else None,
        note=f"{len(target)} concepts; shuffled: ratings permuted",
    )


def _words_alone(e: Evidence, what: str, words: np.ndarray, target: np.ndarray) -> Figure:
    found = ridge.predictions(words, target, e.rng())
    interval = bootstrap(len(target), lambda d: pearson(found[d], target[d]), e.rng())
    return Figure(
        f"{what} read from the words alone (r)",
        pearson(found, target),
        interval,
        note="what the vectors have to exceed to say more than the stories' words do",
    )


def _by_site(e: Evidence, names: list[str], target: np.ndarray) -> list[float]:
    """How well a norm is read from the pack's vectors at every site."""
    rows = [e.pack.index[name] for name in names]
    return [
        round(pearson(ridge.predictions(vectors, target, e.rng()), target), 3)
        for vectors in e.pack.vectors[rows].astype(np.float64).swapaxes(0, 1)
    ]
