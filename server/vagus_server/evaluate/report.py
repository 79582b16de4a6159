"""Writes what the checks found: a page that needs nothing beside it, JSON, and the pictures."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
import msgspec

import vagus_server
from vagus_server.evaluate.evidence import NULLS, Evidence
from vagus_server.evaluate.result import Figure, Section

_TEMPLATE = Path(__file__).parent / "report.html.j2"


def write_report(out: Path, evidence: Evidence, sections: list[Section]) -> None:
    """Writes report.html, report.json and pictures/*.png; the same from the same numbers."""
    out.mkdir(parents=True, exist_ok=True)
    facts = _facts(evidence)
    (out / "report.html").write_text(render(facts, sections), encoding="utf-8")
    content = facts | {"sections": {section.key: _as_json(section) for section in sections}}
    text = msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
    (out / "report.json").write_bytes(text)
    (out / "pictures").mkdir(exist_ok=True)
    for section in sections:
        for picture in section.pictures:
            (out / "pictures" / f"{picture.name}.png").write_bytes(picture.png)


def render(facts: dict[str, Any], sections: list[Section]) -> str:
    """The page."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"value": _value, "interval": _interval, "null": _null}
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    floors = [(s, f) for s in sections for f in s.figures if f.floor is not None]
    return template.render(facts=facts, sections=sections, floors=floors)


def _facts(e: Evidence) -> dict[str, Any]:
    manifest = e.pack.manifest
    texts = msgspec.json.encode(e.texts.implicit) + msgspec.json.encode(e.texts.dialogues)
    texts += msgspec.json.encode(e.texts.doses) + msgspec.json.encode(e.texts.arousal)
    return {
        "pack": manifest.name,
        "version": manifest.version,
        "tensors_sha256": manifest.tensors_sha256,
        "model": manifest.model.name,
        "fingerprint": manifest.model.fingerprint,
        "concepts": len(e.names),
        "sites": e.pack.sites,
        "readout_site": e.pack.readout_site,
        "steering_site": e.pack.steering_site,
        "stories": len(e.corpus.stories),
        "topics": len(e.corpus.topics),
        "other_stories": len(e.corpus.other),
        "earlier_stories": len(e.corpus.earlier),
        "neutral_texts": len(e.corpus.neutral),
        "corpus_sha256": e.corpus.digest,
        "evaluation_texts_sha256": hashlib.sha256(texts).hexdigest(),
        "seed": e.seed,
        "null_draws": NULLS,
        "vagus": vagus_server.__version__,
    }


def _as_json(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "method": section.method,
        "figures": [figure.as_json() for figure in section.figures],
        "tables": [
            {"title": table.title, "columns": table.columns, "rows": table.rows}
            for table in section.tables
        ],
        "pictures": [f"pictures/{picture.name}.png" for picture in section.pictures],
        "data": section.data,
    }


def _value(figure: Figure, number: float | None = None) -> str:
    shown = figure.value if number is None else number
    return f"{100 * shown:.1f} %" if figure.percent else f"{shown:.3f}"


def _interval(figure: Figure) -> str:
    if figure.interval is None:
        return ""
    return " to ".join(_value(figure, bound) for bound in figure.interval)


def _null(figure: Figure, kind: str) -> str:
    draws = getattr(figure.null, kind)
    if draws is None or not len(draws):
        return ""
    return f"{_value(figure, float(draws.mean()))} (greatest {_value(figure, float(draws.max()))})"
