"""Every call of the API, found in its descriptors, and handlers that only note that they ran."""

import importlib
import pkgutil
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

import vagus.v1
from vagus_server.services.context import current_call


def methods() -> dict[str, Any]:
    """The descriptor of every call by its full name."""
    found = {}
    for module in pkgutil.iter_modules(vagus.v1.__path__, "vagus.v1."):
        descriptor = getattr(importlib.import_module(module.name), "DESCRIPTOR", None)
        for service in descriptor.services_by_name.values() if descriptor else ():
            for method in service.methods:
                found[f"/{service.full_name}/{method.name}"] = method
    return found


METHODS = methods()


def kind(path: str) -> str:
    """ "unary_stream" and the like."""
    method = METHODS[path]
    sides = (method.client_streaming, method.server_streaming)
    return "_".join("stream" if side else "unary" for side in sides)


class Reached(grpc.GenericRpcHandler):
    """A handler for every call: notes the tenant that it is made for, and what was parsed."""

    def __init__(self) -> None:
        self.tenants: list[str] = []
        self.parsed = 0

    def _parse(self, data: bytes) -> Empty:
        self.parsed += 1
        return Empty.FromString(data)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def one(request: Any, context: Any) -> Empty:
            self.tenants.append(current_call.get().tenant)
            return Empty()

        async def many(request: Any, context: Any) -> AsyncIterator[Empty]:
            self.tenants.append(current_call.get().tenant)
            yield Empty()

        name = kind(details.method)
        make = getattr(grpc, f"{name}_rpc_method_handler")
        handle = many if name.endswith("stream") else one
        return make(handle, self._parse, Empty.SerializeToString)


def call(channel: grpc.Channel, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
    """Makes a call with empty messages."""
    name = kind(path)
    request = iter([b""]) if name.startswith("stream") else b""
    answer = getattr(channel, name)(path)(request, timeout=30, metadata=metadata)
    if name.endswith("stream"):
        list(answer)
