"""Settings of the plugin, fixed at engine start and part of the compile-cache key."""

import hashlib
import json
from typing import Any, Self

import msgspec

import vagus_server

#: Key of our settings in vLLM's additional_config, and of orders in extra_args.
KEY = "vagus"


class PluginConfig(msgspec.Struct, frozen=True):
    """Everything that the compiled model depends on.

    vLLM hashes additional_config into the path of its compiled artifacts. Without these
    settings there, an artifact compiled without the site operation would be loaded and every
    request would run silently unsteered (references: vLLM's compilation/decorators.py).
    """

    #: Number of decoder layers, and so of sites.
    sites: int
    #: Width of the residual stream.
    hidden_size: int
    #: Sites at which the pack's concepts are read, ascending.
    readout_sites: tuple[int, ...]
    #: Concepts read at each readout site.
    concepts: int
    #: Rows of the program tables, with slot 0 for "nothing".
    slots: int = 1025
    #: Operations in a program.
    operations: int = 8
    #: Rows of the vector bank, with vector 0 for "nothing".
    vectors: int = 1024
    #: How the operation is placed: "norm" in the norm that follows a layer, or "hook".
    installation: str = "hook"
    #: Texts whose sums can be gathered at once, for extracting concepts; 0 gathers none.
    tap_groups: int = 0
    version: str = vagus_server.__version__

    def additional_config(self) -> dict[str, Any]:
        """The value for vLLM's additional_config: JSON types alone."""
        settings: dict[str, Any] = msgspec.to_builtins(self)
        return {KEY: json.loads(json.dumps(settings))}

    @classmethod
    def from_additional_config(cls, additional_config: Any) -> Self:
        """Reads the settings back in a worker or scheduler; raises msgspec.ValidationError."""
        return msgspec.convert(additional_config[KEY], cls, strict=False)

    def fingerprint(self) -> str:
        """Hexadecimal digest of all settings, 16 characters."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]
