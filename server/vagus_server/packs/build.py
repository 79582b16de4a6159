"""Makes a pack from the corpus: `python -m vagus_server.packs.build --model F --out F`."""

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs import steering_sweep
from vagus_server.packs.activations import STORY_START, TEXT_START, LanguageModel, text_means
from vagus_server.packs.corpus import Corpus, load_corpus
from vagus_server.packs.extract import (
    concept_vectors,
    neutral_components,
    remove_components,
    unit,
)
from vagus_server.packs.pack import SCHEMA_VERSION, ConceptInfo, Manifest, ModelInfo, Pack
from vagus_server.packs.provenance import recipe_facts, sweep_facts, traffic_facts
from vagus_server.packs.quality import Quality, Stories, assess, compare_denoising
from vagus_server.packs.scenarios import assess_scenarios
from vagus_server.packs.traffic import Traffic, gather_traffic
from vagus_server.packs.write import write_pack

#: Share of the neutral texts' token-level variance that is removed (paper, section 3, step 4).
NEUTRAL_SHARE = 0.5
#: The shallowest candidate for the steering site, as a share of the depth.
_SHALLOWEST = 0.3
#: Sites below the readout site are measured for the record, this many; none is chosen.
_DEEPER = 7


@dataclass(frozen=True)
class Measured:
    """All that is read from the model before the recipe runs."""

    #: [stories, sites, hidden].
    story_means: np.ndarray
    #: [texts, sites, hidden].
    neutral_means: np.ndarray
    #: [scenarios, sites, hidden].
    scenario_means: np.ndarray
    traffic: Traffic


def measure(lm: LanguageModel, corpus: Corpus, seed: int) -> Measured:
    """Runs every text of the corpus through the model."""
    neutral = [row.text for row in corpus.neutral]
    return Measured(
        story_means=text_means(lm, [story.text for story in corpus.stories], STORY_START),
        neutral_means=text_means(lm, neutral, TEXT_START),
        scenario_means=text_means(lm, [row.text for row in corpus.scenarios], TEXT_START),
        traffic=gather_traffic(lm, neutral, corpus.prompts.reference, seed),
    )


def build_pack(
    model_folder: Path,
    out: Path,
    name: str,
    version: str,
    *,
    model_name: str | None = None,
    seed: int = 0,
    measured: Measured | None = None,
) -> Pack:
    """Extracts, assesses and writes a pack.

    Args:
        model_folder: safetensors weights, config and tokenizer.
        out: folder of the pack.
        name: of the pack.
        version: of the pack.
        model_name: what the manifest calls the model; the folder's name if None.
        seed: of the sampled replies, bootstraps and nulls.
        measured: activations from an earlier run of the same model and corpus.

    Returns:
        The pack as loaded from `out`.
    """
    corpus, lm = load_corpus(), LanguageModel.load(model_folder)
    measured = measured or measure(lm, corpus, seed)
    names = sorted(corpus.concepts)
    stories = _labelled(corpus, names, measured.story_means)
    neutral = measured.traffic.neutral.covariance
    components = neutral_components(neutral, NEUTRAL_SHARE)
    quality = assess(stories, names, components, seed)
    vectors = concept_vectors(stories.means, stories.concept, len(names))
    # Rounded first: statistics and steering then belong to the vectors that are shipped.
    vectors = remove_components(vectors, components).astype(np.float16)
    units = unit(vectors.astype(np.float64))
    reference_mean, reference_std = measured.traffic.reference.projection(units)
    norms = measured.traffic.chat_reply.mean_norm
    site = quality.readout_site
    steered = {name: names.index(name) for name in steering_sweep.CONCEPTS if name in names}
    points = steering_sweep.sweep(
        lm,
        corpus.prompts.steering,
        {name: units[c] for name, c in steered.items()},
        {name: float(reference_std[c, site]) for name, c in steered.items()},
        norms,
        site,
        list(range(int(_SHALLOWEST * len(norms)), min(site + _DEEPER, len(norms)))),
        seed,
    )
    bounds = steering_sweep.Bounds(last_site=site)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        version=version,
        license="Apache-2.0",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=ModelInfo(
            name=model_name or model_folder.name,
            fingerprint=model_fingerprint(model_folder),
            hidden_size=lm.hidden_size,
            sites=len(norms),
        ),
        concepts=_concepts(corpus, names, quality),
        readout_site=site,
        steering_site=steering_sweep.best(points, bounds),
        tensors_sha256="",
        provenance={
            **recipe_facts(corpus, components, NEUTRAL_SHARE, seed),
            **traffic_facts(measured.traffic),
            "denoising_compared": compare_denoising(stories, measured.neutral_means, neutral),
            **quality.facts,
            **assess_scenarios(
                measured.scenario_means,
                np.array([names.index(row.concept) for row in corpus.scenarios]),
                units,
                reference_mean,
                reference_std,
                site,
            ),
            **sweep_facts(points, bounds),
        },
    )
    tensors = {
        "vectors": vectors,
        "residual_norms": norms,
        "reference_mean": reference_mean,
        "reference_std": reference_std,
    }
    return write_pack(out, manifest, tensors)


def _labelled(corpus: Corpus, names: list[str], means: np.ndarray) -> Stories:
    topics = corpus.topics
    return Stories(
        means=means,
        texts=[story.text for story in corpus.stories],
        concept=np.array([names.index(story.concept) for story in corpus.stories]),
        topic=np.array([topics.index(story.topic) for story in corpus.stories]),
    )


def _concepts(corpus: Corpus, names: list[str], quality: Quality) -> list[ConceptInfo]:
    return [
        ConceptInfo(
            name=concept,
            description=corpus.concepts[concept].means,
            held_out_top1=round(float(quality.top1[c]), 3),
            held_out_top5=round(float(quality.top5[c]), 3),
        )
        for c, concept in enumerate(names)
    ]


def main() -> None:
    """Parses the command line and builds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--name", help="of the pack (default: the folder's name)")
    parser.add_argument("--version", default="1.0.0", help="of the pack")
    parser.add_argument("--model-name", help="in the manifest (default: the folder's name)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pack = build_pack(
        arguments.model,
        arguments.out,
        arguments.name or arguments.out.name,
        arguments.version,
        model_name=arguments.model_name,
        seed=arguments.seed,
    )
    sys.stdout.write(f"{pack.name} {pack.manifest.version} sha256 {pack.digest}\n")


if __name__ == "__main__":
    main()
