"""Stories that the model writes itself, as the paper's were (section 2, "Stories").

A small model's own stories carry little of what they were asked to show; the held-out figures
of the pack that comes of them say how much.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vagus_server.extract.bar import progress
from vagus_server.extract.measure import encode_chat
from vagus_server.extract.offline import Job, OfflineEngine
from vagus_server.extract.topics import TOPICS
from vagus_server.packs.corpus import Concept
from vagus_server.packs.wording import Banned

_TOKENS = 200
_MIN_WORDS = 60
_PROMPT = (
    "Write one paragraph of about 100 words, set in this scene: {topic}. One person in it feels "
    "{concept} ({means}). Never use the word {concept} or any other word for the feeling. Show "
    "it only by what the person does, says, thinks and senses. Write the paragraph alone."
)


def write_own_stories(
    engine: OfflineEngine,
    concepts: dict[str, Concept],
    topics: int,
    seed: int,
    path: Path,
) -> Counter[str]:
    """Lets the model write one story per concept and topic, at temperature 1.

    Args:
        engine: the model.
        concepts: their meanings, by name.
        topics: how many of TOPICS.
        seed: of the sampling.
        path: JSON lines that are written, see `vagus_server.packs.user_corpus`.

    Returns:
        How many stories were kept, and how many were not, by reason.
    """
    wanted = [(name, topic) for topic in TOPICS[:topics] for name in concepts]

    def jobs() -> Iterator[Job]:
        for i, (name, topic) in enumerate(wanted):
            prompt = _PROMPT.format(topic=topic, concept=name, means=concepts[name].means)
            sampling = {"max_tokens": _TOKENS, "temperature": 1.0, "seed": seed + i}
            yield Job(encode_chat(engine.tokenizer, prompt), sampling=sampling)

    written: list[str] = [""] * len(wanted)
    with progress("own stories", len(wanted)) as bar:
        for done in engine.run(jobs()):
            text = engine.tokenizer.decode(done.token_ids, skip_special_tokens=True)
            written[done.index] = text.strip()
            bar.update()
    banned = {name: Banned([name, *concept.banned]) for name, concept in concepts.items()}
    counts: Counter[str] = Counter()
    with path.open("w") as file:
        for (name, topic), text in zip(wanted, written, strict=True):
            if len(text.split()) < _MIN_WORDS:
                counts["too short"] += 1
            elif banned[name].found_in(text):
                counts["names the feeling"] += 1
            else:
                counts["kept"] += 1
                row = {"concept": name, "topic": topic, "text": text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return counts
