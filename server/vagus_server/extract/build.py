"""Makes a pack of a source and a model.

1. Means of the stories, of the neutral texts and of contrasting texts, at all sites in one pass.
2. The model's own replies to the reference prompts, and residual norms where it generates.
3. Vectors on the host; the readout site by leaving topics out.
4. Reference statistics of the vectors' projections, token by token.
5. The steering site by a sweep through the engine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vagus_server.engine.settings import EngineSettings
from vagus_server.extract import contrast, contrast_quality, measure, provenance, steering, sweep
from vagus_server.extract.bar import progress
from vagus_server.extract.means import TextMeans
from vagus_server.extract.offline import OfflineEngine, model_shape
from vagus_server.extract.quality import Quality, Stories, assess
from vagus_server.extract.source import Source
from vagus_server.extract.vectors import (
    concept_vectors,
    neutral_components,
    remove_components,
    unit,
    with_difference,
)
from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs.pack import SCHEMA_VERSION, ConceptInfo, Manifest, ModelInfo, Pack
from vagus_server.packs.write import write_pack


@dataclass(frozen=True)
class Recipe:
    """The choices of an extraction.

    Args:
        start: first token of a story that is averaged (paper: 50).
        neutral_share: of the neutral texts' variance that is projected out (paper: 0.5).
        seed: of sampled replies, bootstraps, nulls and random directions.
        steering_sites: one is taken as it is, several are swept; none: see `steering.candidates`.
    """

    start: int = measure.STORY_START
    neutral_share: float = 0.5
    seed: int = 0
    steering_sites: tuple[int, ...] = ()


@dataclass(frozen=True)
class Label:
    """What the pack and its model are called."""

    name: str
    version: str
    model_name: str
    license: str = "Apache-2.0"


def build_pack(
    settings: EngineSettings, source: Source, recipe: Recipe, label: Label, out: Path, work: Path
) -> Pack:
    """Extracts, assesses and writes a pack.

    Args:
        settings: of the engine; its model is the one that the pack is for.
        source: the texts.
        recipe: the choices.
        label: names.
        out: folder of the pack.
        work: folder of what an interrupted run can go on from.

    Returns:
        The pack as loaded from `out`.

    Raises:
        Unsupported: the engine cannot tap this model.
        ValueError: the source does not allow what is asked.
    """
    names = [*source.descriptions, *source.contrasts.descriptions]
    sites, hidden = model_shape(settings.model)
    if beyond := [site for site in recipe.steering_sites if not 0 <= site < sites]:
        raise ValueError(f"the model has sites 0 to {sites - 1}; {beyond[0]} is none of them")
    engine = OfflineEngine(settings, sites, hidden, len(names), vectors=steering.RANDOM)
    try:
        return _Build(engine, settings, source, recipe, label, names).run(out, work)
    finally:
        engine.close()


class _Build:
    def __init__(
        self,
        engine: OfflineEngine,
        settings: EngineSettings,
        source: Source,
        recipe: Recipe,
        label: Label,
        names: list[str],
    ) -> None:
        self.engine, self.settings, self.source = engine, settings, source
        self.recipe, self.label, self.names = recipe, label, names
        self.fingerprint = model_fingerprint(settings.model)

    def run(self, out: Path, work: Path) -> Pack:
        source, recipe, engine = self.source, self.recipe, self.engine
        # Now, so that a prompt that is too long does not have to wait for all texts.
        measure.encode_prompts(engine, source.prompts.reference, measure.REPLY_TOKENS)
        measure.encode_prompts(engine, source.prompts.steering, sweep.REPLY_TOKENS)
        stories = self.means("stories", source.stories, len(source.concept), recipe.start, work)
        neutral = self.means(
            "neutral", source.neutral, len(source.neutral), measure.TEXT_START, work
        )
        contrasts = self.contrast_means(work)
        with progress("replies", len(source.prompts.reference)) as bar:
            replies = measure.chat_replies(engine, source.prompts.reference, recipe.seed, bar)
        components = neutral_components(neutral.array, recipe.neutral_share)
        vectors, quality = self.assess(stories, contrasts, components)
        units = unit(vectors.astype(np.float64))
        engine.put_vectors(1, vectors)
        engine.read_vectors(list(range(1, len(vectors) + 1)))
        with progress("reference", len(source.neutral) + len(replies.replies)) as bar:
            reference = measure.reference(engine, source.neutral, replies, bar)
        chosen = steering.choose(
            engine,
            source.prompts.steering,
            steering.Readouts(self.names, units, reference.std, quality.readout_site),
            replies.norms,
            recipe.steering_sites,
            recipe.seed,
        )
        manifest = self.manifest(quality, chosen.site)
        facts = {
            **source.facts,
            "corpus_sha256": source.digest,
            **provenance.recipe_facts(
                self.settings.dtype,
                recipe.start,
                components,
                recipe.neutral_share,
                source.first_person is not None,
                recipe.seed,
            ),
            **provenance.traffic_facts(neutral, replies, reference),
            **quality.facts,
            **chosen.facts,
        }
        tensors = {
            "vectors": vectors,
            "residual_norms": replies.norms,
            "reference_mean": reference.mean,
            "reference_std": reference.std,
        }
        return write_pack(out, manifest(facts), tensors)

    def means(
        self, what: str, texts: Iterable[str], count: int, start: int, work: Path
    ) -> TextMeans:
        """Measured now, or by an earlier run on the same model and with the same settings."""
        settings = measure.means_settings(self.fingerprint, self.settings, start)
        with progress(what, count) as bar:
            return measure.text_means(self.engine, texts, start, work / what, settings, bar)

    def contrast_means(self, work: Path) -> list[contrast.Means]:
        """Means of both kinds of text of each contrasting concept."""
        mine = self.source.contrasts
        if not mine.descriptions:
            return []
        count = len(mine.contrast)
        texts = self.means("contrasts", mine.texts, count, measure.TEXT_START, work).array
        return [
            contrast.Means(
                texts,
                positive=np.flatnonzero((mine.contrast == i) & mine.positive),
                negative=np.flatnonzero((mine.contrast == i) & ~mine.positive),
            )
            for i in range(len(mine.descriptions))
        ]

    def assess(
        self,
        stories: TextMeans,
        contrasts: list[contrast.Means],
        components: list[np.ndarray],
    ) -> tuple[np.ndarray, Quality]:
        """Vectors as shipped, float16 [concepts, sites, hidden], and how good they are."""
        source, count = self.source, len(self.source.descriptions)
        parts = []
        if count:
            removed = components
            if source.first_person is not None:
                removed = with_difference(components, stories.array, source.first_person)
            vectors = concept_vectors(stories.array, source.concept, count)
            parts.append(remove_components(vectors, removed))
            labelled = Stories(stories.array, source.concept, source.topic)
            quality = assess(labelled, list(source.descriptions), removed, self.recipe.seed)
            if contrasts:
                quality.facts.update(
                    contrast_quality.facts_at(
                        contrasts, components, quality.readout_site, self.recipe.seed
                    )
                )
        else:
            quality = contrast_quality.assess(contrasts, components, self.recipe.seed)
        parts += [remove_components(one.vector()[None], components) for one in contrasts]
        # Rounded first: statistics and steering then belong to the vectors that are shipped.
        return np.concatenate(parts).astype(np.float16), quality

    def manifest(self, quality: Quality, steering_site: int) -> Any:
        """The manifest, but for its facts."""
        source, label, plugin = self.source, self.label, self.engine.plugin
        descriptions = source.descriptions | source.contrasts.descriptions
        concepts = [
            ConceptInfo(
                name=name,
                description=description,
                held_out_top1=_rounded(quality.top1, i),
                held_out_top5=_rounded(quality.top5, i),
            )
            for i, (name, description) in enumerate(descriptions.items())
        ]
        return lambda facts: Manifest(
            schema_version=SCHEMA_VERSION,
            name=label.name,
            version=label.version,
            license=label.license,
            created=provenance.created(),
            model=ModelInfo(
                name=label.model_name,
                fingerprint=self.fingerprint,
                hidden_size=plugin.hidden_size,
                sites=plugin.sites,
            ),
            concepts=concepts,
            readout_site=quality.readout_site,
            steering_site=steering_site,
            tensors_sha256="",
            provenance=facts,
        )


def _rounded(shares: np.ndarray, index: int) -> float | None:
    return round(float(shares[index]), 3) if index < len(shares) else None
