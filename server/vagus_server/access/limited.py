"""How a tenant is told that it has used up what it may use."""

import grpc

from vagus_server.errors import ApiError


def limited(quota: str, limit: float, retry_seconds: int | None) -> ApiError:
    """RATE_LIMITED; without `retry_seconds` the request alone asks for more than the limit."""
    never = "; this request alone asks for more" if retry_seconds is None else "; try again later"
    return ApiError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        f"the tenant's limit is {limit:g} {quota.replace('_', ' ')}{never}",
        retry_seconds=retry_seconds,
        quota=quota,
        limit=f"{limit:g}",
    )
