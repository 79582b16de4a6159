"""The making of a pack from end to end, with an engine that only looks like one."""

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from support.corpora import folder_corpus, neutral_file, sides_file, stories_file
from support.fake_offline import HIDDEN, SITES, FakeOffline
from vagus_server.engine.settings import EngineSettings
from vagus_server.evaluate.origin import check_corpus, start_and_share
from vagus_server.extract import build
from vagus_server.extract.offline import Job
from vagus_server.extract.source import Source, of_corpus, of_user_corpus
from vagus_server.packs.corpus import load_corpus
from vagus_server.packs.pack import Pack
from vagus_server.packs.user_corpus import open_corpus


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeOffline:
    """Stands in for every engine that is started."""
    numbers = count(10)

    def reply(job: Job) -> list[int]:
        return [next(numbers) % 900 for _ in range(9)] if "max_tokens" in job.sampling else [1]

    fake = FakeOffline(reply=reply)
    monkeypatch.setattr(build, "OfflineEngine", lambda *args, **kwargs: fake)
    monkeypatch.setattr(build, "model_shape", lambda folder: (SITES, HIDDEN))
    monkeypatch.setattr(build, "model_fingerprint", lambda folder: "a model")
    return fake


def make(source: Source, folder: Path, recipe: build.Recipe | None = None) -> Pack:
    """Builds a pack that is steered at site 1."""
    return build.build_pack(
        EngineSettings(Path("model"), dtype="float32"),
        source,
        recipe or build.Recipe(neutral_share=0.2, steering_sites=(1,)),
        build.Label("made", "1.0.0", "a model"),
        folder / "pack",
        folder / "work",
    )


def test_contrasts_alone_make_a_pack(engine: FakeOffline, tmp_path: Path) -> None:
    path = sides_file(tmp_path / "mine.jsonl", ("polite", "formal"))
    corpus = open_corpus(path, neutral_file(tmp_path / "neutral.jsonl"))
    pack = make(of_user_corpus(corpus, load_corpus().prompts), tmp_path)
    assert pack.names == ["formal", "polite"]
    facts = pack.manifest.provenance
    assert len(json.loads(facts["contrasts_side"])) == 2
    assert len(json.loads(facts["contrasts_side_site_chosen_without_the_fold"])) == 2
    assert facts["null_contrasts_side_shuffled"].startswith("mean 0.")
    assert facts["person_projected_out"] == "no"
    # Each concept's vector is along its own kinds' difference.
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for name in pack.names:
        mine = {
            side: np.mean(
                [
                    engine.stream[engine.tokenizer(row["text"])["input_ids"][1:]].mean(axis=0)
                    for row in rows
                    if (row["concept"], row["side"]) == (name, side)
                ],
                axis=0,
            )
            for side in ("positive", "negative")
        }
        difference = mine["positive"] - mine["negative"]
        got = pack.vectors[pack.index[name]]
        # But for the neutral components, which are taken out of it.
        cosine = (got * difference).sum(axis=1)
        cosine /= np.linalg.norm(got, axis=1) * np.linalg.norm(difference, axis=1)
        assert (cosine[1:] > 0.5).all()


def test_stories_and_contrasts_make_a_pack(engine: FakeOffline, tmp_path: Path) -> None:
    stories = stories_file(tmp_path / "stories.jsonl", ("calm", "sad"))
    both = sides_file(tmp_path / "both.jsonl", ("polite",))
    both.write_text(stories.read_text() + both.read_text())
    corpus = open_corpus(both, neutral_file(tmp_path / "neutral.jsonl"))
    pack = make(of_user_corpus(corpus, load_corpus().prompts), tmp_path)
    assert pack.names == ["calm", "sad", "polite"]
    facts = pack.manifest.provenance
    assert "contrasts_side_site_chosen_without_the_fold" not in facts
    assert facts["null_contrasts_side_shuffled"].endswith("site the same")


def test_a_corpus_told_in_one_person_makes_a_pack(engine: FakeOffline, tmp_path: Path) -> None:
    corpus = load_corpus(folder_corpus(tmp_path, lambda _: "first"))
    recipe = build.Recipe(start=20, neutral_share=0.25, steering_sites=(1,))
    pack = make(of_corpus(corpus), tmp_path, recipe)
    assert pack.names == ["calm", "sad", "tense"]
    assert pack.manifest.provenance["person_projected_out"] == "no"
    # What it says of its making is what an evaluation takes.
    check_corpus(pack, corpus)
    assert start_and_share(pack, None, None) == (20, 0.25)


def test_a_prompt_that_is_too_long_is_refused_before_any_text(
    engine: FakeOffline, tmp_path: Path
) -> None:
    engine.longest = 62
    corpus = load_corpus(folder_corpus(tmp_path, lambda _: "first"))
    with pytest.raises(ValueError, match="chat prompt 1 has 3 tokens"):
        make(of_corpus(corpus), tmp_path)
    assert not engine.jobs
