"""Validates a readout selection and resolves it against the pack."""

from collections.abc import Container
from dataclasses import dataclass

from vagus.v1 import readout_pb2 as pb
from vagus_server.errors import check_count, invalid, not_implemented
from vagus_server.packs.pack import Pack
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.checks import check_concept, check_sites


@dataclass(frozen=True)
class Selection:
    """What is read and how it is returned.

    Args:
        concepts: indices into the pack, in the order of the answer; all of them for top-k.
        top_k: how many of them per token; 0 returns all.
        sites: indices into the served readout sites, ascending.
    """

    concepts: tuple[int, ...]
    top_k: int
    sites: tuple[int, ...]
    prompt: bool
    last_prompt_token: bool
    generation: bool
    before: bool
    after: bool
    raw: bool
    z_score: bool

    def positions(self, prompt_tokens: int) -> tuple[Range, ...]:
        """Positions to be read, as half-open ranges.

        A generated token's readout is the state out of which it was chosen: the first one's
        is the last prompt token's.
        """
        ranges: list[Range] = []
        if self.prompt:
            ranges.append((0, prompt_tokens))
        elif self.last_prompt_token:
            ranges.append((prompt_tokens - 1, prompt_tokens))
        if self.generation:
            ranges.append((prompt_tokens - 1, NO_END))
        return tuple(ranges)

    def answer_bytes(self, tokens: int) -> int:
        """About how many bytes the readouts of so many tokens take in an answer."""
        lists = (self.before + self.after) * (self.raw + self.z_score)
        values = self.top_k or len(self.concepts)
        site = 16 + values * (4 * lists + 2 * bool(self.top_k))
        return tokens * (32 + site * len(self.sites))

    def prompt_positions(self, prompt_tokens: int) -> range:
        """Positions of the prompt that are returned as prompt readouts."""
        if self.prompt:
            return range(prompt_tokens)
        return range(prompt_tokens - 1, prompt_tokens) if self.last_prompt_token else range(0)


def resolve_selection(
    message: pb.ReadoutSelection,
    pack: Pack,
    readout_sites: tuple[int, ...],
    field: str,
    unread: Container[str] = (),
) -> Selection:
    """Returns the selection, or raises ApiError with the path of the offending field.

    `unread` are names that stand for concepts which cannot be read: a tenant's own.
    """
    if not (message.prompt or message.last_prompt_token or message.generation):
        invalid(field, "reads no tokens: set prompt, last_prompt_token or generation")
    concepts, top_k = _concepts(message, pack, field, unread)
    after = message.after or not message.before
    z_score = message.z_score or not message.raw
    return Selection(
        concepts=concepts,
        top_k=top_k,
        sites=_sites(message, pack, readout_sites, f"{field}.sites"),
        prompt=message.prompt,
        last_prompt_token=message.last_prompt_token,
        generation=message.generation,
        before=message.before,
        after=after,
        raw=message.raw,
        z_score=z_score,
    )


def _concepts(
    message: pb.ReadoutSelection, pack: Pack, field: str, unread: Container[str]
) -> tuple[tuple[int, ...], int]:
    kind = message.WhichOneof("concepts")
    if kind == "names":
        path = f"{field}.names.names"
        # Any more are of others, or the same twice.
        check_count(len(message.names.names), len(pack.names), path)
        names = list(message.names.names)
        if not names:
            invalid(path, "must name a concept")
        seen: set[str] = set()
        for i, name in enumerate(names):
            if name in unread:
                # The device's readout table has one column per concept of the pack, fixed
                # when the model is compiled.
                not_implemented(f"{path}[{i}]", "reading a concept that is not the pack's")
            check_concept(name, f"{path}[{i}]", pack)
            if name in seen:
                invalid(f"{path}[{i}]", "names a concept twice", value=name)
            seen.add(name)
        return tuple(pack.index[name] for name in names), 0
    everything = tuple(range(len(pack.names)))
    if kind == "top_k":
        if not 1 <= message.top_k <= len(everything):
            invalid(
                f"{field}.top_k",
                f"must be 1 to {len(everything)}",
                value=message.top_k,
                limit=len(everything),
            )
        return everything, message.top_k
    return everything, 0


def _sites(
    message: pb.ReadoutSelection, pack: Pack, served: tuple[int, ...], field: str
) -> tuple[int, ...]:
    check_sites(message.sites, pack.sites, field)
    sites = tuple(message.sites) or (pack.readout_site,)
    for i, site in enumerate(sites):
        if site not in served:
            not_implemented(
                f"{field}[{i}]", f"reading site {site} (this server reads {list(served)})"
            )
    return tuple(sorted(served.index(site) for site in sites))
