"""Statistics, clusters, regression and words, against answers known beforehand."""

import numpy as np
import pytest

from vagus_server.evaluate import ridge
from vagus_server.evaluate.affect import closest_form, lexicon_valence
from vagus_server.evaluate.clusters import clusters
from vagus_server.evaluate.halves import split
from vagus_server.evaluate.heldout import cluster_confusion
from vagus_server.evaluate.lens import named, own_words
from vagus_server.evaluate.other_writer import kept_share
from vagus_server.evaluate.result import Figure, Null
from vagus_server.evaluate.statistics import bootstrap, pearson, ranked, share_interval, spearman
from vagus_server.evaluate.texts import load_texts
from vagus_server.extract.lexical import word_ranks_of_others


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_ranks_share_ties() -> None:
    assert ranked(np.array([3.0, 1.0, 3.0, 9.0])).tolist() == [1.5, 0.0, 1.5, 3.0]


def test_correlations() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    y = np.array([2.0, 1.0, 4.0, 3.0])
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert pearson(x, np.ones(4)) == 0


def test_interval_of_a_share_is_about_the_binomial_one(rng: np.random.Generator) -> None:
    hits = np.arange(400) < 100
    low, high = share_interval(hits, rng)
    assert low == pytest.approx(0.25 - 1.96 * np.sqrt(0.25 * 0.75 / 400), abs=0.01)
    assert high == pytest.approx(0.25 + 1.96 * np.sqrt(0.25 * 0.75 / 400), abs=0.01)


def test_an_interval_without_any_number_is_not_one(rng: np.random.Generator) -> None:
    assert np.isnan(bootstrap(3, lambda rows: float("nan"), rng)).all()


def test_share_of_a_share(rng: np.random.Generator) -> None:
    ratio, (low, high) = kept_share(np.arange(200) < 60, np.arange(900) < 540, rng)
    assert ratio == pytest.approx(0.5)
    assert 0.35 < low < 0.5 < high < 0.65


def test_clusters_are_those_that_were_made(rng: np.random.Generator) -> None:
    centres = 10 * np.eye(10, 16)
    label = np.repeat(np.arange(10), 5)
    rows = centres[label] + 0.1 * rng.standard_normal((50, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = clusters(rows, [f"c{i}" for i in range(50)], rng)
    made = label[:, None] == label
    assert (made == (found.label[:, None] == found.label)).all()
    assert sorted(name for names in found.members for name in names) == sorted(
        f"c{i}" for i in range(50)
    )


def test_confusion_counts_every_story_once() -> None:
    scores = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0]])
    confusion = cluster_confusion(scores, np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert confusion.tolist() == [[1, 1], [0, 1]]


def test_ridge_predicts_what_is_linear_and_nothing_else(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((120, 30))
    target = rows @ rng.standard_normal(30) + 7
    assert pearson(ridge.predictions(rows, target, rng), target) > 0.98
    noise = rng.standard_normal(120)
    # Below 0 if anything: a fold left out moves the mean of the others away from it.
    assert pearson(ridge.predictions(rows, noise, rng), noise) < 0.2


def test_ridge_equals_the_primal_solution(rng: np.random.Generator) -> None:
    """The penalty too: each training row is left out by fitting without it."""
    rows, targets = rng.standard_normal((24, 4)), rng.standard_normal((24, 3))
    train, test = np.arange(18), np.arange(18, 24)
    found = ridge._fold(rows @ rows.T, targets[train], train, test)
    centred = rows[train] - rows[train].mean(axis=0)
    penalties = ridge.PENALTIES * (centred**2).sum() / 18

    def primal(fitted: np.ndarray, asked: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
        middle = rows[fitted].mean(axis=0)
        x = rows[fitted] - middle
        weights = np.linalg.solve(
            x.T @ x + penalty * np.eye(4), x.T @ (y[fitted] - y[fitted].mean())
        )
        return (rows[asked] - middle) @ weights + y[fitted].mean()

    for column, y in enumerate(targets.T):
        errors = [
            sum((primal(np.delete(train, i), train[[i]], y, p)[0] - y[i]) ** 2 for i in train)
            for p in penalties
        ]
        want = primal(train, test, y, penalties[int(np.argmin(errors))])
        np.testing.assert_allclose(found[:, column], want, atol=1e-9)


def test_halves_are_of_other_topics(rng: np.random.Generator) -> None:
    concept, topic = np.tile(np.arange(3), 4), np.repeat(np.arange(4), 3)
    means = np.eye(12)[:, None, :].astype(np.float32)  # each story has its own dimension
    halves = split(means, concept, topic, 0, [np.zeros((0, 12))], rng, 5)
    for first, second in zip(halves.first, halves.second, strict=True):
        used = [np.flatnonzero(np.abs(half).sum(axis=0) > 0) for half in (first, second)]
        assert not set(topic[used[0]]) & set(topic[used[1]])
        assert sorted(np.concatenate(used).tolist()) == list(range(12))


def test_closest_forms() -> None:
    lexicon = {"ease": 1.5, "disdain": -2.1, "happy": 2.7, "critical": -1.3, "grief": -2.2}
    assert closest_form("happy", lexicon) == "happy"
    assert closest_form("at ease", lexicon) == "ease"
    assert closest_form("disdainful", lexicon) == "disdain"
    assert closest_form("self-critical", lexicon) == "critical"
    assert closest_form("droopy", lexicon) is None
    assert closest_form("sad", {"sadly": -1.8, "sad": -2.1}) == "sad"


def test_the_lexicon_knows_good_from_bad() -> None:
    lexicon = lexicon_valence()
    assert lexicon["happy"] > 2
    assert lexicon["miserable"] < -2


def test_words_of_a_concept() -> None:
    words = own_words("grief-stricken", ["mourn", "heavy heart"])
    assert named(" Grief", words)
    assert named(" mourning", words)
    assert named("strick", words)
    assert not named(" str", words)
    assert not named(" heart", words)


def test_words_of_another_writer() -> None:
    texts = ["red apple red", "blue sea blue", "red wine red", "blue sky blue"]
    ranks = word_ranks_of_others(
        texts, np.array([0, 1, 0, 1]), ["a red house", "a blue boat"], np.array([0, 1])
    )
    assert ranks.tolist() == [0, 0]


def test_verdicts() -> None:
    assert Figure("a", 0.6, (0.55, 0.7), floor=0.5).verdict == "met"
    assert Figure("a", 0.6, (0.45, 0.7), floor=0.5).verdict == "met; lower bound below"
    assert Figure("a", 0.4, (0.3, 0.6), floor=0.5).verdict == "missed"
    assert Figure("a", float("nan"), floor=0.5).verdict == "missed"
    row = Figure("a", 0.4, null=Null(random=np.arange(101) / 100)).as_json()
    assert row["null_random"] == {
        "draws": 101,
        "mean": 0.5,
        "percentile_95": 0.95,
        "greatest": 1.0,
    }


def test_the_evaluation_texts_are_balanced_and_name_nothing() -> None:
    texts = load_texts()
    felt = [d.user_concept for d in texts.dialogues]
    answered = [d.assistant_concept for d in texts.dialogues]
    assert sorted(felt) == sorted(answered)
    assert {felt.count(c) for c in set(felt)} == {5}
    assert all(d.user_concept != d.assistant_concept for d in texts.dialogues)
    for dialogue in texts.dialogues:
        assert dialogue.user_concept[:5] not in dialogue.user.lower()
        assert dialogue.assistant_concept[:5] not in dialogue.assistant.lower()
    for scenario in texts.implicit:
        assert scenario.concept[:5] not in scenario.text.lower()
    for dose in texts.doses:
        assert dose.text.count("{x}") == 1
        assert dose.values == sorted(dose.values)
