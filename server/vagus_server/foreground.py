"""A server in the foreground: says where it listens, and runs until it is told to stop."""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import typer

from vagus_server.access.listen import address

if TYPE_CHECKING:
    from vagus_server.app import App

_METHOD = "vagus.v1.GenerationService/Generate"
_EXAMPLE = '{"spec": {"prompt": {"text": "Once upon a time"}, "sampling": {"max_tokens": 16}}}'


async def run(app: "App", name: str, log_format: str) -> int:
    """Runs a server from its start to its end; returns the exit code."""
    # Whoever collects JSON wants nothing else between its lines.
    log = logging.getLogger("vagus.server").info if log_format == "json" else None
    say, hint = log or typer.echo, log or partial(typer.echo, err=True)
    hint(f"starting {name}: loading, compiling, checking that steering steers")
    await app.start()
    # What was loaded stays for good. A collection that walks all of it stops every stream for a
    # third of a second.
    gc.collect()
    gc.freeze()
    settings = app.settings
    target, tls = address(settings.host, app.port), settings.certificates is not None
    say(f"serving {name} on {target}")
    if app.metrics_port is not None:
        page = address(settings.metrics_host, app.metrics_port)
        say(f"metrics on http{'s' if tls else ''}://{page}/metrics")
    if log is None and not (tls or settings.keys):
        say(f"try: grpcurl -plaintext -d '{_EXAMPLE}' {target} {_METHOD}")
    sys.stdout.flush()
    return await app.run()


@contextmanager
def tracing(endpoint: str, share: float, model: str) -> Iterator[None]:
    """Sends traces to an OTLP endpoint within the block; "" sends none."""
    if not endpoint:
        yield
        return
    from vagus_server.telemetry.tracing import start_tracing

    provider = start_tracing(endpoint, share, model)
    try:
        yield
    finally:
        provider.shutdown()
