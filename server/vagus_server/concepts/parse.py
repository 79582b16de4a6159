"""From what a caller sent to vectors, or to a refusal that says what is wrong with them.

Everything ends in the canonical form: float16 [sites, hidden], zero at sites without a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import grpc
import numpy as np
from safetensors import SafetensorError, deserialize

from vagus.v1 import steering_pb2 as pb
from vagus_server.concepts.vectors import Vectors
from vagus_server.errors import ApiError, check_count, invalid
from vagus_server.steering.checks import check_sites

_DTYPES = {"F16": "float16", "F32": "float32", "BF16": "bfloat16"}
#: Rounding to float16 moves a vector by 0.0003 of its length; far more means that it is so
#: small that float16 has no digits left for it.
_MAX_ROUNDING = 0.01
#: For the header of a safetensors file.
_HEADER_BYTES = 64 << 10


@dataclass(frozen=True)
class Shape:
    """Of a model's stream: its sites and columns."""

    sites: int
    hidden: int

    @property
    def max_bytes(self) -> int:
        """Of the largest file that can hold valid vectors: float32 at all sites."""
        return self.sites * self.hidden * 4 + _HEADER_BYTES


def parse_inline(message: pb.InlineVectors, shape: Shape, field: str) -> Vectors:
    """Vectors of a request, or ApiError with the path of the offending field."""
    if bool(message.safetensors) == bool(message.vectors):
        invalid(field, "must have either safetensors or vectors")
    if message.safetensors:
        return parse_file(
            message.safetensors, message.sites, shape, f"{field}.safetensors", f"{field}.sites"
        )
    if message.sites:
        invalid(f"{field}.sites", "goes with safetensors; each of vectors has its own site")
    check_count(len(message.vectors), shape.sites, f"{field}.vectors")
    chosen = [vector.site for vector in message.vectors]
    check_sites(chosen, shape.sites, f"{field}.vectors")
    for i, vector in enumerate(message.vectors):
        path = f"{field}.vectors[{i}].values"
        if len(vector.values) != shape.hidden:
            _refuse(path, f"must have {shape.hidden} numbers", len(vector.values), shape.hidden)
    rows = np.array([vector.values for vector in message.vectors], dtype=np.float32)
    return _canonical(rows, chosen, shape, f"{field}.vectors")


def parse_file(
    data: bytes,
    sites: Sequence[int],
    shape: Shape,
    field: str,
    sites_field: str,
    dtype: str = "",
) -> Vectors:
    """Vectors of a safetensors file, or ApiError.

    Args:
        data: the file.
        sites: the site of each row; empty for all in order.
        shape: what the model has.
        field, sites_field: paths of both in the request.
        dtype: number type that the caller states; empty for none.
    """
    check_sites(sites, shape.sites, sites_field)
    chosen = list(sites) or list(range(shape.sites))
    check_size(len(data), shape, field)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        _refuse(field, "is not a safetensors file")
    if len(tensors) != 1:
        _refuse(field, "must hold exactly one tensor", len(tensors), 1)
    tensor = tensors[0][1]
    found = _DTYPES.get(tensor["dtype"])
    if found is None:
        _refuse(field, f"must be one of {', '.join(_DTYPES.values())}", tensor["dtype"])
    if dtype and dtype != found:
        _refuse(field, f"is {found}, and dtype says otherwise", dtype, found)
    expected = [len(chosen), shape.hidden]
    if list(tensor["shape"]) != expected:
        _refuse(field, f"must have the shape {expected}", list(tensor["shape"]), expected)
    rows = _float32(bytes(tensor["data"]), found).reshape(expected)
    return _canonical(rows, chosen, shape, field)


def check_size(size: int, shape: Shape, field: str) -> None:
    """Raises ApiError when a file of so many bytes cannot be valid."""
    if size > shape.max_bytes:
        _refuse(field, "is larger than any valid file", size, shape.max_bytes)


def _float32(data: bytes, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        # The upper half of a float32.
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, dtype="<f2" if dtype == "float16" else "<f4").astype(np.float32)


def _canonical(rows: np.ndarray, chosen: Sequence[int], shape: Shape, field: str) -> Vectors:
    """Checks float32 rows [n, hidden] and puts them at their sites."""
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float16)
    for site, row, half in zip(chosen, rows.astype(np.float64), rounded, strict=True):
        if not np.isfinite(row).all():
            _refuse(field, f"is not finite at site {site}", site=site)
        if not row.any():
            _refuse(field, f"is zero at site {site}", site=site)
        if not np.isfinite(half).all():
            largest = float(np.abs(row).max())
            _refuse(field, f"does not fit float16 at site {site}", largest, 65504, site=site)
        if np.linalg.norm(half - row) > _MAX_ROUNDING * np.linalg.norm(row):
            length = float(np.linalg.norm(row))
            _refuse(field, f"is too small for float16 at site {site}", length, site=site)
    array = np.zeros((shape.sites, shape.hidden), dtype="<f2")
    array[list(chosen)] = rounded
    return Vectors.of(array)


def _refuse(
    field: str, problem: str, value: object = "", limit: object = "", site: object = ""
) -> NoReturn:
    raise ApiError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "VECTORS_INVALID",
        f"{field} {problem}",
        None,
        field=field,
        site=site,
        value=value,
        limit=limit,
    )
