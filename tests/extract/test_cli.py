"""Options of a recipe that make no sense are refused before anything is loaded."""

import pytest
from typer.testing import CliRunner

from vagus_server.cli import app

EXTRACT = ("extract", "--out", "o")
EVALUATE = ("evaluate", "--pack", "p", "--out", "o")


@pytest.mark.parametrize("command", [EXTRACT, EVALUATE])
@pytest.mark.parametrize(
    ("option", "value"),
    [("--start", "0"), ("--start", "-5"), ("--neutral-share", "1.1"), ("--neutral-share", "-0.1")],
)
def test_a_recipe_out_of_bounds_is_refused(
    command: tuple[str, ...], option: str, value: str
) -> None:
    done = CliRunner().invoke(app, [*command, option, value])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output
