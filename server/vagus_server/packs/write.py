"""Writes a pack's two files, and reads them back before anybody else does."""

import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np
from safetensors.numpy import save as save_safetensors

from vagus_server.packs.pack import MANIFEST, TENSORS, Manifest, Pack, parse_manifest


def write_pack(out: Path, manifest: Manifest, tensors: dict[str, np.ndarray]) -> Pack:
    """Writes `out`/pack.json and `out`/tensors.safetensors.

    Args:
        manifest: its tensors_sha256 is replaced by what was written.
        tensors: any float types; stored as the format wants them.

    Returns:
        The pack as loaded from disk.

    Raises:
        PackError: the pack breaks the format, for example a value does not fit float16.
    """
    # A value beyond float16's range becomes infinite here, which the loader refuses.
    with np.errstate(over="ignore"):
        stored = {
            name: np.ascontiguousarray(
                tensor.astype(np.float16 if name == "vectors" else np.float32)
            )
            for name, tensor in tensors.items()
        }
    data = save_safetensors(stored)
    manifest = msgspec.structs.replace(manifest, tensors_sha256=hashlib.sha256(data).hexdigest())
    out.mkdir(parents=True, exist_ok=True)
    (out / TENSORS).write_bytes(data)
    write_manifest(out, manifest)
    return Pack.load(out)


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Writes `out`/pack.json as it stands, all of it or nothing.

    Raises:
        PackError: the manifest breaks the format.
    """
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    parse_manifest(text)
    new = out / f"{MANIFEST}.new"
    new.write_bytes(text)
    os.replace(new, out / MANIFEST)
