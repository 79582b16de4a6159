"""The command line of the server: `vagus-server`."""

import typer

import vagus_server
from vagus_server.access.cli import app as keys_app
from vagus_server.evaluate.cli import evaluate
from vagus_server.experiments.cli import app as experiments
from vagus_server.extract.cli import extract
from vagus_server.extract.stories_cli import write_stories
from vagus_server.models import bundled
from vagus_server.serve import serve

app = typer.Typer(
    name="vagus-server",
    help="Serves a language model with per-request steering and concept readouts over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(serve)
app.command()(extract)
app.command()(write_stories)
app.command()(evaluate)
app.add_typer(experiments, name="experiment")
app.add_typer(keys_app, name="keys")


@app.command()
def prepare() -> None:
    """Converts the bundled model into the user's cache, once, and prints its folder."""
    typer.echo(str(bundled.ensure_bundled_model()))


@app.command()
def version() -> None:
    """Prints the versions of the server and of the vLLM that it needs."""
    from vagus_server.plugin.pin import VLLM_VERSION

    typer.echo(f"vagus-server {vagus_server.__version__} (vLLM {VLLM_VERSION})")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
