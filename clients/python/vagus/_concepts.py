"""`client.concepts`: called, it lists them; its methods upload and delete the tenant's own."""

from collections.abc import Awaitable
from typing import Protocol, TypeVar, Unpack

from vagus import _calls
from vagus._vectors import UploadOptions, VectorsLike, upload_messages
from vagus.v1.concept_service_pb2 import Concept, UploadConceptResponse

T = TypeVar("T")


class _Unary(Protocol):
    def __call__(self, call: _calls.Call[T], timeout: float | None) -> T: ...


class _AsyncUnary(Protocol):
    def __call__(self, call: _calls.Call[T], timeout: float | None) -> Awaitable[T]: ...


class Concepts:
    """The concepts that can be named."""

    def __init__(self, unary: _Unary) -> None:
        self._unary = unary

    def __call__(self, *, timeout: float | None = None) -> list[Concept]:
        """All concepts of the served pack and the tenant's own, by name."""
        pages = _calls.ConceptPages()
        while call := pages.next_call():
            pages.add(self._unary(call, timeout))
        return pages.concepts

    def upload(
        self,
        name: str,
        vectors: VectorsLike,
        *,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> UploadConceptResponse:
        """Register a concept of the tenant's own; it can then be steered and tested by gates.

        Args:
            name: Not one of the pack's.
            vectors: Numbers by site, or a safetensors file with one tensor [sites, hidden].
            timeout: Seconds, retries included. None: the client's.
            options: See `UploadOptions`.

        Returns:
            Its digest, and the sites at which it can be used.
        """
        return self._unary(_calls.upload_concept(upload_messages(name, vectors, options)), timeout)

    def delete(self, name: str, *, timeout: float | None = None) -> None:
        """Forget a concept of the tenant's own; running requests that use it go on."""
        self._unary(_calls.delete_concept(name), timeout)


class AsyncConcepts:
    """The same for asyncio. See `Concepts`."""

    def __init__(self, unary: _AsyncUnary) -> None:
        self._unary = unary

    async def __call__(self, *, timeout: float | None = None) -> list[Concept]:
        """All concepts of the served pack and the tenant's own, by name."""
        pages = _calls.ConceptPages()
        while call := pages.next_call():
            pages.add(await self._unary(call, timeout))
        return pages.concepts

    async def upload(
        self,
        name: str,
        vectors: VectorsLike,
        *,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> UploadConceptResponse:
        """Register a concept of the tenant's own. See `Concepts.upload`."""
        call = _calls.upload_concept(upload_messages(name, vectors, options))
        return await self._unary(call, timeout)

    async def delete(self, name: str, *, timeout: float | None = None) -> None:
        """Forget a concept of the tenant's own. See `Concepts.delete`."""
        await self._unary(_calls.delete_concept(name), timeout)
