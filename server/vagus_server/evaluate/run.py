"""Evaluates a pack: measures, checks, writes the report."""

from pathlib import Path

from vagus_server.engine.settings import EngineSettings
from vagus_server.evaluate import (
    affect,
    doses,
    geometry,
    heldout,
    lens,
    norms,
    origin,
    other_writer,
    reliability,
    scenarios,
    speakers,
)
from vagus_server.evaluate.clusters import clusters
from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.measure import Measurer
from vagus_server.evaluate.report import write_report
from vagus_server.evaluate.result import Section
from vagus_server.evaluate.texts import load_texts
from vagus_server.extract.offline import OfflineEngine
from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs.corpus import Corpus
from vagus_server.packs.pack import Pack


def evaluate_pack(
    settings: EngineSettings,
    pack: Pack,
    corpus: Corpus,
    start: int | None,
    neutral_share: float | None,
    seed: int,
    out: Path,
    work: Path,
) -> list[Section]:
    """Measures a pack and writes report.html, report.json and pictures/ into `out`.

    Args:
        settings: of the engine; its model is the one that the pack is for.
        pack: what is judged.
        corpus: what it was extracted from.
        start: first token of a story that the recipe averages; None: as the pack says.
        neutral_share: of the neutral texts' variance that the recipe projects out; likewise.
        seed: of everything that is drawn.
        out: folder of the report.
        work: folder of story means; an extraction's is taken over.

    Raises:
        ValueError: pack, model, corpus and recipe do not belong together.
        Unsupported: the engine cannot tap this model.
    """
    fingerprint = model_fingerprint(settings.model)
    if fingerprint != pack.manifest.model.fingerprint:
        raise ValueError(f"the pack {pack.name} was made for another model")
    origin.check_corpus(pack, corpus)
    start, neutral_share = origin.start_and_share(pack, start, neutral_share)
    texts = load_texts()
    engine = OfflineEngine(settings, pack.sites, pack.manifest.model.hidden_size, 1, vectors=1)
    try:
        tokenizer = engine.tokenizer
        measurer = Measurer(engine, fingerprint, settings, start, work)
        measured = measurer.run(corpus, texts)
    finally:
        engine.close()
    evidence = Evidence(pack, corpus, texts, measured, neutral_share, seed)
    sections = checks(evidence, lens.load_lens(settings.model, tokenizer))
    write_report(out, evidence, sections)
    return sections


def checks(evidence: Evidence, through: lens.Lens | None) -> list[Section]:
    """All checks, in the order of the report."""
    grouped = clusters(evidence.units, evidence.names, evidence.rng())
    true = reliability.halves(evidence)
    null = reliability.shuffled_halves(evidence)
    return [
        heldout.check(evidence, grouped),
        *other_writer.check(evidence),
        scenarios.check(evidence),
        doses.check(evidence),
        lens.check(evidence, through),
        geometry.check(evidence, grouped, true, null),
        affect.check(evidence),
        speakers.check(evidence),
        reliability.check(evidence, true, null),
        norms.check(evidence),
    ]
