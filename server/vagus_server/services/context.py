"""What is known of the call being served."""

import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from vagus_server.errors import ApiError, invalid

#: A handler's context. Its two type parameters are the messages', which handlers state anyway.
ServicerContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY = "vagus-request-id"
TENANT_KEY = "vagus-tenant"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass
class Call:
    """One call. `tenant` separates prefix caches; `request_id` names the call in logs."""

    method: str
    tenant: str = ""
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)


current_call: ContextVar[Call] = ContextVar("current_call")


def call_from(method: str, context: Any) -> Call:
    """Reads the call's metadata; raises ApiError unless the tenant is one of visible ASCII."""
    tenants = [v for key, v in context.invocation_metadata() or () if key == TENANT_KEY]
    if len(tenants) > 1:
        # One of a caller and one of a proxy: taking either would guess whose cache it is.
        invalid(TENANT_KEY, "must be given once", value=len(tenants), limit=1)
    tenant = tenants[0] if tenants else ""
    if tenant and not _VISIBLE.fullmatch(tenant):
        invalid(TENANT_KEY, "must be 1 to 128 visible ASCII characters", value=tenant)
    return Call(method, tenant)


def check_request_id(request_id: str, name: str) -> None:
    """Raises ApiError unless the id is empty or 1 to 128 visible ASCII characters."""
    if request_id and not _VISIBLE.fullmatch(request_id):
        invalid(name, "must be 1 to 128 visible ASCII characters", value=request_id)


def check_deadline(context: ServicerContext) -> None:
    """Raises DEADLINE_EXCEEDED when the call's deadline is already past."""
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        raise ApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_PASSED",
            "the deadline passed before the request was admitted",
            stage="admission",
        )
