"""The `vagus` command."""

import typer

from vagus._constants import API_KEY_VARIABLE, CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE
from vagus.cli import chat, concepts, health, policies, read, status

app = typer.Typer(
    name="vagus",
    help="Steer a language model along emotion concepts, and read them. "
    f"The API key, if the server wants one, comes from {API_KEY_VARIABLE}, and the files of a "
    f"client's certificate from {CERTIFICATE_VARIABLE} and {PRIVATE_KEY_VARIABLE}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (chat.chat, read.read, policies.policies, status.status, health.health):
    app.command()(command)
app.add_typer(concepts.app, name="concepts")


def main() -> None:
    """Run the command line."""
    app()
