"""The concepts that can be named: the pack's, and each tenant's own.

Own concepts are looked up in memory; the store is what a restart begins with. A change is
first possible (the vectors are on the device), then lasting (the store has it), then visible.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import grpc

from vagus_server.concepts.concept import Concept
from vagus_server.concepts.store import Store, Stored, StoreFull
from vagus_server.engine.bank import VectorBank
from vagus_server.errors import ApiError, invalid
from vagus_server.packs.pack import Pack
from vagus_server.steering.checks import unknown_concept

T = TypeVar("T")


class Registry:
    """Finds, takes in and forgets concepts.

    Args:
        pack: the served pack.
        concepts: its concepts by name.
        bank: holds each own concept's vectors; those of `stored` are held already.
        store: keeps own concepts; None keeps nothing.
        stored: what the store had.
    """

    def __init__(
        self,
        pack: Pack,
        concepts: Mapping[str, Concept],
        bank: VectorBank,
        store: Store | None = None,
        stored: Iterable[Stored] = (),
    ) -> None:
        self.pack = pack
        self._concepts = concepts
        self._bank = bank
        self._store = store
        self._own: dict[str, dict[str, Concept]] = {}
        for tenant, concept in stored:
            self._own.setdefault(tenant, {})[concept.name] = concept
        #: Changes happen one after the other.
        self._changing = asyncio.Lock()

    def own(self, tenant: str) -> Mapping[str, Concept]:
        """A tenant's own concepts by name."""
        return self._own.get(tenant, {})

    def named(self, tenant: str) -> dict[str, Concept]:
        """All that a tenant can name. Its own hide those that the pack came to have later."""
        return {**self._concepts, **self.own(tenant)}

    def find(self, name: str, field: str, tenant: str) -> Concept:
        """The concept of a name, or ApiError with the nearest name there is."""
        concept = self.own(tenant).get(name) or self._concepts.get(name)
        if concept is None:
            raise unknown_concept(name, field, self.named(tenant), self.pack)
        return concept

    @property
    def registered(self) -> int:
        """Number of own concepts, of all tenants."""
        return sum(map(len, self._own.values()))

    async def put(
        self, tenant: str, concept: Concept, *, replace: bool, limit: int | None = None
    ) -> Concept:
        """Registers a concept, or leaves everything as it was; gives what is registered.

        Once begun it ends, even if the caller is cancelled. `limit` is the most that the tenant
        may have; None is no limit of its own.

        Raises:
            ApiError: CONCEPT_EXISTS, TOO_MANY_CONCEPTS or STATE_FULL.
            BankFull: there is no room on the device.
        """
        return await _to_the_end(self._put(tenant, concept, replace, limit))

    async def _put(
        self, tenant: str, concept: Concept, replace: bool, limit: int | None
    ) -> Concept:
        async with self._changing:
            old = self.own(tenant).get(concept.name)
            if old is not None and _same(old, concept):
                return old
            if concept.name in self._concepts or (old is not None and not replace):
                whose = "the pack" if concept.name in self._concepts else "this tenant"
                raise ApiError(
                    grpc.StatusCode.ALREADY_EXISTS,
                    "CONCEPT_EXISTS",
                    f"metadata.name: {whose} has another concept of this name",
                    field="metadata.name",
                    concept=concept.name,
                )
            if old is None:
                self._check_room(tenant, limit)
            await self._bank.acquire(concept.vectors)
            try:
                if self._store is not None:
                    await _keep(self._store.put, tenant, concept)
            except BaseException:
                self._bank.release(concept.vectors)
                raise
            self._own.setdefault(tenant, {})[concept.name] = concept
            if old is not None:
                self._bank.release(old.vectors)
            return concept

    def _check_room(self, tenant: str, limit: int | None) -> None:
        # Names of equal vectors share a row, and would never fill the bank.
        capacity = self._bank.rows.capacity
        if limit is not None and len(self.own(tenant)) >= limit:
            whose, capacity = "the tenant", limit
        elif self.registered >= capacity:
            whose = "this server"
        else:
            return
        raise ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_CONCEPTS",
            f"{capacity} concepts are registered, as many as {whose} can have",
            limit=capacity,
        )

    async def delete(self, tenant: str, name: str, field: str) -> None:
        """Forgets a concept; running requests keep its vectors. Raises ApiError."""
        await _to_the_end(self._delete(tenant, name, field))

    async def _delete(self, tenant: str, name: str, field: str) -> None:
        async with self._changing:
            concept = self.own(tenant).get(name)
            if concept is None:
                if name in self._concepts:
                    invalid(field, "is a concept of the pack, which cannot be deleted", value=name)
                raise unknown_concept(name, field, self.own(tenant), self.pack)
            if self._store is not None:
                await _keep(self._store.delete, tenant, name)
            del self._own[tenant][name]
            if not self._own[tenant]:
                del self._own[tenant]
            self._bank.release(concept.vectors)


def _same(old: Concept, new: Concept) -> bool:
    return (old.vectors, dict(old.reference), old.description) == (
        new.vectors,
        dict(new.reference),
        new.description,
    )


async def _keep(change: Callable[..., None], *arguments: object) -> None:
    try:
        await asyncio.to_thread(change, *arguments)
    except StoreFull:
        raise ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "STATE_FULL",
            "the disk that keeps uploaded concepts takes no more; nothing was changed",
        ) from None


async def _to_the_end(change: Coroutine[Any, Any, T]) -> T:
    return await asyncio.shield(asyncio.create_task(change))
