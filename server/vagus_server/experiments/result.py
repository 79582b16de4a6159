"""Writes an experiment's figures and picture."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vagus_server
from vagus_server.experiments.session import Session


def describe(session: Session, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a result has to say of where it comes from."""
    runtime = session.model.runtime
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": vagus_server.__version__,
        "model": session.model.name,
        "dtype": session.model.dtype,
        "vllm": runtime.vllm_version,
        "platform": runtime.platform,
        "pack": {
            "name": session.pack.name,
            "version": session.pack.version,
            "digest": session.pack.digest,
            "readout_site": session.pack.readout_site,
            "steering_site": session.pack.steering_site,
        },
        "random_directions": len(session.controls),
        "settings": dict(settings),
    }


def write_json(out: Path, name: str, result: Mapping[str, Any]) -> Path:
    """Writes `out`/`name`.json and returns its path. Numbers that are not finite become null."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.json"
    # A line per entry of each list: long lists of numbers stay readable, and differences small.
    parts = [f"{_text(key)}: {_block(value)}" for key, value in _plain(result).items()]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    return path


def _block(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(map(_text, value)) + "\n]"
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
