"""Evidence with a known answer: a direction for each concept, and texts that lie along it."""

import re
from pathlib import Path

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.measure import Measured, Read, Spoken
from vagus_server.evaluate.texts import Texts, load_texts
from vagus_server.extract.vectors import concept_vectors
from vagus_server.packs.corpus import Concept, Corpus, Neutral, Prompts, Scenario, Story
from vagus_server.packs.pack import ConceptInfo, Manifest, ModelInfo, Pack

TOPICS, SITES, HIDDEN, SITE = 6, 3, 48, 1
GOOD = "happy inspired loving proud calm grateful joyful hopeful peaceful delighted cheerful kind"
BAD = "desperate angry guilty sad afraid nervous surprised lonely hateful miserable worried bitter"
MORE = "hostile gloomy furious jealous scared hurt ashamed depressed annoyed stressed bored tense"
NAMES = sorted(f"{GOOD} {BAD} {MORE}".split())


def evidence(signal: float, seed: int = 3) -> Evidence:
    """All measurements, with `signal` times each concept's direction in them."""
    rng = np.random.default_rng(seed)
    valence = np.array([1.0 if name in GOOD.split() else -1.0 for name in NAMES])
    axis = rng.standard_normal((SITES, HIDDEN))
    directions = rng.standard_normal((len(NAMES), SITES, HIDDEN))
    directions += 1.5 * valence[:, None, None] * axis
    texts = load_texts()

    def shown(concepts: list[str]) -> np.ndarray:
        rows = [NAMES.index(name) for name in concepts]
        noise = rng.standard_normal((len(rows), SITES, HIDDEN))
        return 5.0 + signal * directions[rows] + noise

    concepts = [name for _ in range(TOPICS) for name in NAMES]
    topics = np.repeat(np.arange(TOPICS), len(NAMES))
    stories = shown(concepts) + rng.standard_normal((TOPICS, SITES, HIDDEN))[topics]
    scenarios = [Scenario(name, f"scenario {i}") for i, name in enumerate(NAMES)]
    measured = Measured(
        stories=stories.astype(np.float32),
        neutral=rng.standard_normal((12, SITES, HIDDEN)).astype(np.float32),
        other=shown(NAMES),
        implicit=Read(*(shown([t.concept for t in texts.implicit]) for _ in range(2))),
        scenarios=Read(*(shown(NAMES) for _ in range(2))),
        doses=_doses(texts, directions, signal, rng),
        dialogues=Spoken(
            user=shown([d.user_concept for d in texts.dialogues]),
            assistant=shown([d.assistant_concept for d in texts.dialogues]),
            user_end=shown([d.user_concept for d in texts.dialogues]),
            colon=shown([d.assistant_concept for d in texts.dialogues]),
        ),
        earlier=shown(NAMES[::3]),
    )
    corpus = _corpus(concepts, topics, scenarios)
    labels = np.array([NAMES.index(name) for name in concepts])
    vectors = concept_vectors(measured.stories, labels, len(NAMES))
    return Evidence(_pack(vectors), corpus, texts, measured, neutral_share=0.2)


def _doses(
    texts: Texts, directions: np.ndarray, signal: float, rng: np.random.Generator
) -> list[Read]:
    reads = []
    for dose in texts.doses:
        steps = np.linspace(-1, 1, len(dose.values))
        push = sum(s * directions[NAMES.index(c)] for c, s in dose.expected.items())
        both = [
            signal * steps[:, None, None] * push + rng.standard_normal((len(steps), SITES, HIDDEN))
            for _ in range(2)
        ]
        reads.append(Read(*both))
    return reads


def _corpus(concepts: list[str], topics: np.ndarray, scenarios: list[Scenario]) -> Corpus:
    def story(name: str, topic: str) -> Story:
        return Story(name, topic, "first", f"words of {topic} that show {name}like things")

    return Corpus(
        concepts={name: Concept(name, [name]) for name in NAMES},
        stories=[story(c, f"topic-{t}") for c, t in zip(concepts, topics, strict=True)],
        other=[story(name, "elsewhere") for name in NAMES],
        earlier=[story(name, "before") for name in NAMES[::3]],
        neutral=[Neutral("text", "t", "a table")] * 12,
        prompts=Prompts([], []),
        scenarios=scenarios,
        digest="0" * 64,
    )


def _pack(vectors: np.ndarray) -> Pack:
    manifest = Manifest(
        schema_version=1,
        name="planted",
        version="1",
        license="CC0",
        created="",
        model=ModelInfo("none", "0" * 32, HIDDEN, SITES),
        concepts=[ConceptInfo(name, name) for name in NAMES],
        readout_site=SITE,
        steering_site=SITE,
        tensors_sha256="0" * 64,
        provenance={},
    )
    tensors = {
        "vectors": vectors.astype(np.float16),
        "residual_norms": np.full(SITES, 9.0),
        "reference_mean": np.zeros((len(NAMES), SITES)),
        "reference_std": np.ones((len(NAMES), SITES)),
    }
    return Pack(manifest, tensors)


def pictures_of(page: str) -> int:
    """How many pictures a page carries inside itself."""
    return len(re.findall(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', page))


def outside_of(page: str) -> list[str]:
    """What a page would load from elsewhere."""
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    return [link for link in links if not re.match("data:|#", link)]


def files(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
