"""The server's log, as text or as a JSON object per line, and the log of calls."""

import logging
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from vagus_server.services.context import Call, current_call

#: One record per call. Shown in JSON, and in text when verbose.
access = logging.getLogger("vagus.access")


class _Context(logging.Filter):
    """Adds to each record the ids of the call and of the trace that it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = current_call.get(None)
        if call is not None:
            record.request_id = call.request_id
            if call.tenant:
                record.tenant = call.tenant
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            record.trace_id = trace.format_trace_id(span.trace_id)
            record.span_id = trace.format_span_id(span.span_id)
        return True


def configure_logging(log_format: str, verbose: bool) -> None:
    """Sends the server's log to stderr, and the warnings of its libraries.

    Args:
        log_format: "text", or "json" for an object per line.
        verbose: log calls in text as well.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_Context())
    handler.setFormatter(_formatter(log_format))
    # vLLM has handlers of its own, in its processes too.
    logging.getLogger().addHandler(handler)
    # Writes a path that is not UTF-8 four times over, with tracebacks, for anyone who sends one.
    # What our own handlers raise is logged by `services/failure.py`.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
    logging.captureWarnings(log_format == "json")
    logging.getLogger("vagus").setLevel(logging.INFO)
    access.setLevel(logging.INFO if verbose or log_format == "json" else logging.WARNING)


def _formatter(log_format: str) -> logging.Formatter:
    if log_format == "text":
        return logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )


def log_call(call: Call, code: str, seconds: float, reason: str) -> None:
    """Logs a call that ended; `reason` is its error's, if it had one."""
    fields: dict[str, Any] = {"method": call.method, "code": code, "seconds": round(seconds, 6)}
    if reason:
        fields["reason"] = reason
    access.info("%s %s in %.3f s", call.method, code, seconds, extra=fields)
