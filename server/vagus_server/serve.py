"""`vagus-server serve`: from its options to a server that runs."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer

import vagus_server
from vagus_server.access.certificates import Certificates
from vagus_server.foreground import run, tracing
from vagus_server.models import bundled

_PACKS = Path(vagus_server.__file__).parent / "data" / "packs"


def serve(
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model; default: the bundled one.")
    ] = None,
    pack: Annotated[
        Path | None, typer.Option(help="Folder of the concept pack; default: the bundled one.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name under which the model is served.")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 50051,
    metrics_port: Annotated[
        int, typer.Option(help="Prometheus port; 0 takes a free one, -1 serves none.")
    ] = 9464,
    metrics_host: Annotated[
        str, typer.Option(help="Address of the Prometheus port.")
    ] = "127.0.0.1",
    insecure: Annotated[bool, typer.Option(help="Allow plaintext beyond loopback.")] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate, with its chain: speak TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate's private key.")
    ] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="PEM file of who signs the certificates of clients: mTLS.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys: nobody calls without; see `keys new`."),
    ] = None,
    audit_log: Annotated[
        Path | None, typer.Option(help="File that takes note of what is steered, by whom.")
    ] = None,
    audit_texts: Annotated[bool, typer.Option(help="Write prompts there as well.")] = False,
    dtype: Annotated[
        str, typer.Option(help="Number type; default: float32 on a CPU, else the model's.")
    ] = "",
    max_model_len: Annotated[
        int | None, typer.Option(help="Longest sequence in tokens; default: the model's.")
    ] = None,
    max_running: Annotated[int, typer.Option(help="Most requests in a batch.")] = 256,
    max_batched_tokens: Annotated[
        int | None, typer.Option(help="Token budget of a forward pass; default: vLLM's.")
    ] = None,
    max_requests: Annotated[
        int, typer.Option(help="Most requests running and waiting together.")
    ] = 1024,
    max_wait: Annotated[
        float, typer.Option(help="Longest wait of a request for its start, in seconds.")
    ] = 30.0,
    slow_reader: Annotated[
        float, typer.Option(help="Seconds after which a reader that takes nothing is ended.")
    ] = 60.0,
    drain_seconds: Annotated[
        float, typer.Option(help="Time that a stop leaves to running requests.")
    ] = 30.0,
    canary_seconds: Annotated[
        float, typer.Option(help="Time between two proofs that steering steers; 0 repeats none.")
    ] = 60.0,
    keepalive_seconds: Annotated[
        float, typer.Option(help="Silence after which a connection is asked whether it lives.")
    ] = 30.0,
    max_dose: Annotated[
        float, typer.Option(help="Greatest dose of a program, in mean residual norms.")
    ] = 1.0,
    kv_cache_gib: Annotated[
        float | None, typer.Option(help="KV cache on a CPU in GiB; default: 2.")
    ] = None,
    gpu_memory_utilization: Annotated[
        float, typer.Option(help="Share of a GPU's memory to take.")
    ] = 0.9,
    tensor_parallel: Annotated[int, typer.Option(help="GPUs that share each layer.")] = 1,
    eager: Annotated[bool, typer.Option(help="Run without compilation.")] = False,
    installation: Annotated[
        str,
        typer.Option(help="How steering is placed: norm (fused with the next norm), hook or auto."),
    ] = "auto",
    vectors: Annotated[
        int, typer.Option(help="Most concepts on the device, the pack's and uploaded ones.")
    ] = 1023,
    state: Annotated[
        str | None,
        typer.Option(
            help="Folder that keeps uploaded concepts; default: in the user's cache; an empty "
            "one keeps nothing."
        ),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            help="File of policies that watch requests; default: one that only tells; an empty "
            "one is none."
        ),
    ] = None,
    metric_concepts: Annotated[
        str, typer.Option(help="Comma-separated concepts exported as metrics; default: all.")
    ] = "",
    metric_tenants: Annotated[
        str,
        typer.Option(
            help="Comma-separated tenants with metrics of their own; default: the first 16."
        ),
    ] = "",
    otlp_endpoint: Annotated[
        str, typer.Option(help="OTLP collector (gRPC) for traces; default: none are sent.")
    ] = "",
    trace_share: Annotated[
        float, typer.Option(help="Share of the traces begun here that are sent.")
    ] = 1.0,
    log_format: Annotated[
        str, typer.Option(help="Format of the log: text, or json for an object per line.")
    ] = "text",
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="A LoRA adapter that requests can name as their model; may be repeated.",
        ),
    ] = None,
    engine_options: Annotated[
        str, typer.Option(help="Further vLLM engine arguments, as a JSON object.")
    ] = "{}",
    verbose: Annotated[bool, typer.Option(help="Show vLLM's own log.")] = False,
) -> None:
    """Serves a model until interrupted."""
    if log_format not in ("text", "json"):
        raise typer.BadParameter("--log-format is text or json")
    _configure_logging(log_format, verbose)
    # Forking a process that already holds gRPC threads deadlocks.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    from vllm.config import LoggingConfig

    from vagus_server.app import App, load_pack_for
    from vagus_server.engine.failures import EngineUnavailable
    from vagus_server.engine.settings import EngineSettings, platform_defaults
    from vagus_server.packs.pack import PackError
    from vagus_server.plugin.pin import Unsupported
    from vagus_server.policies.file import MONITOR
    from vagus_server.services.served import Limits
    from vagus_server.settings import ServerSettings

    if installation not in ("auto", "norm", "hook"):
        raise typer.BadParameter("--installation is auto, norm or hook")
    try:
        folder = model or bundled.ensure_bundled_model()
        options = json.loads(engine_options)
        if log_format == "json":
            options.setdefault("logging_config", LoggingConfig(formatter="json"))
        loaded = load_pack_for(folder, pack or _PACKS / bundled.NAME)
        dtype, kv_cache_gib = platform_defaults(dtype, kv_cache_gib)
        engine_settings = EngineSettings(
            model=folder,
            dtype=dtype,
            max_model_len=max_model_len,
            max_running=max_running,
            max_batched_tokens=max_batched_tokens,
            kv_cache_gib=kv_cache_gib,
            gpu_memory_utilization=gpu_memory_utilization,
            tensor_parallel=tensor_parallel,
            eager=eager,
            installation=installation,
            adapters=_adapters(adapter or []),
            vectors=vectors + 1,
            engine_options=options,
        )
        settings = ServerSettings(
            host=host,
            port=port,
            metrics_port=None if metrics_port < 0 else metrics_port,
            metrics_host=metrics_host,
            insecure=insecure,
            certificates=_certificates(tls_cert, tls_key, client_ca),
            keys=keys,
            audit_log=audit_log,
            audit_texts=audit_texts,
            metric_concepts=_names(metric_concepts),
            metric_tenants=_names(metric_tenants),
            limits=Limits(
                max_dose=max_dose,
                max_requests=max_requests,
                max_wait_seconds=max_wait,
                slow_reader_seconds=slow_reader,
            ),
            drain_seconds=drain_seconds,
            canary_seconds=canary_seconds,
            keepalive_seconds=keepalive_seconds,
            state=_path(state, bundled.cache_root() / "state"),
            policies=_path(policies, MONITOR),
        )
        model_name = name or (folder.name if model else bundled.NAME)
        if model_name in engine_settings.adapters:
            raise typer.BadParameter(f"--adapter {model_name} has the model's own name")
        server = App(model_name, engine_settings, settings, loaded)
        with tracing(otlp_endpoint, trace_share, model_name):
            code = asyncio.run(run(server, model_name, log_format))
    except (PackError, Unsupported, EngineUnavailable, OSError, ValueError) as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def _certificates(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> Certificates | None:
    if certificate is not None and key is not None:
        return Certificates(certificate, key, client_ca)
    if certificate is not None or key is not None or client_ca is not None:
        raise typer.BadParameter("--tls-cert and --tls-key go together; --client-ca needs both")
    return None


def _adapters(options: list[str]) -> dict[str, Path]:
    adapters = {}
    for option in options:
        name, _, folder = option.partition("=")
        if not name or not folder or name in adapters:
            raise typer.BadParameter(f"--adapter is NAME=FOLDER, each name once; got {option}")
        adapters[name] = Path(folder).resolve()
    return adapters


def _path(option: str | None, default: Path) -> Path | None:
    """Where an empty option is none."""
    if option is None:
        return default
    return Path(option) if option else None


def _names(option: str) -> tuple[str, ...]:
    return tuple(name for name in option.split(",") if name)


def _configure_logging(log_format: str, verbose: bool) -> None:
    if not verbose:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
    from vagus_server.telemetry.logs import configure_logging

    configure_logging(log_format, verbose)
