"""The command line of the server: `vagus-server`."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vagus_server
from vagus_server.evaluate.cli import evaluate
from vagus_server.experiments.cli import app as experiments
from vagus_server.extract.cli import extract
from vagus_server.extract.stories_cli import write_stories
from vagus_server.models import bundled

if TYPE_CHECKING:
    from vagus_server.app import App

app = typer.Typer(
    name="vagus-server",
    help="Serves a language model with per-request steering and concept readouts over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(extract)
app.command()(write_stories)
app.command()(evaluate)
app.add_typer(experiments, name="experiment")

_PACKS = Path(vagus_server.__file__).parent / "data" / "packs"


@app.command()
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
    insecure: Annotated[bool, typer.Option(help="Allow plaintext beyond loopback.")] = False,
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
    metric_concepts: Annotated[
        str, typer.Option(help="Comma-separated concepts exported as metrics; default: all.")
    ] = "",
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
    _configure_logging(verbose)
    # Forking a process that already holds gRPC threads deadlocks.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    from vagus_server.app import App, ServerSettings, load_pack_for
    from vagus_server.engine.settings import EngineSettings
    from vagus_server.packs.pack import PackError
    from vagus_server.plugin.pin import Unsupported
    from vagus_server.services.served import Limits

    if installation not in ("auto", "norm", "hook"):
        raise typer.BadParameter("--installation is auto, norm or hook")
    on_cpu = _on_cpu()
    folder = model or bundled.ensure_bundled_model()
    try:
        options = json.loads(engine_options)
        loaded = load_pack_for(folder, pack or _PACKS / bundled.NAME)
        engine_settings = EngineSettings(
            model=folder,
            dtype=dtype or ("float32" if on_cpu else "auto"),
            max_model_len=max_model_len,
            max_running=max_running,
            max_batched_tokens=max_batched_tokens,
            kv_cache_gib=(kv_cache_gib or 2.0) if on_cpu else kv_cache_gib,
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
            insecure=insecure,
            metric_concepts=tuple(c for c in metric_concepts.split(",") if c),
            limits=Limits(max_dose=max_dose, max_requests=max_requests),
            state=bundled.cache_root() / "state"
            if state is None
            else Path(state)
            if state
            else None,
        )
        model_name = name or (folder.name if model else bundled.NAME)
        if model_name in engine_settings.adapters:
            raise typer.BadParameter(f"--adapter {model_name} has the model's own name")
        code = asyncio.run(_serve(App(model_name, engine_settings, settings, loaded), model_name))
    except (PackError, Unsupported, OSError, ValueError) as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


async def _serve(app: "App", name: str) -> int:
    typer.echo(f"starting {name}: loading, compiling, checking that steering steers", err=True)
    await app.start()
    host = app.settings.host
    typer.echo(f"serving {name} on {host}:{app.port}")
    if app.metrics_port is not None:
        typer.echo(f"metrics on http://{host}:{app.metrics_port}/metrics")
    typer.echo(
        "try: grpcurl -plaintext -d "
        '\'{"spec": {"prompt": {"text": "Once upon a time"}, "sampling": {"max_tokens": 16}}}\' '
        f"{host}:{app.port} vagus.v1.GenerationService/Generate"
    )
    sys.stdout.flush()
    try:
        return await app.wait()
    finally:
        await app.stop()


@app.command()
def prepare() -> None:
    """Converts the bundled model into the user's cache, once, and prints its folder."""
    typer.echo(str(bundled.ensure_bundled_model()))


@app.command()
def version() -> None:
    """Prints the versions of the server and of the vLLM that it needs."""
    from vagus_server.plugin.pin import VLLM_VERSION

    typer.echo(f"vagus-server {vagus_server.__version__} (vLLM {VLLM_VERSION})")


def _adapters(options: list[str]) -> dict[str, Path]:
    adapters = {}
    for option in options:
        name, _, folder = option.partition("=")
        if not name or not folder or name in adapters:
            raise typer.BadParameter(f"--adapter is NAME=FOLDER, each name once; got {option}")
        adapters[name] = Path(folder).resolve()
    return adapters


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _configure_logging(verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    ours = logging.getLogger("vagus")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    if not verbose:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
