"""Tiny models of every family, served by real vLLM, against transformers with hooks.

docs/models.md has the table of what is found here.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.offline import Batch, Serve, other_process
from support.small_pack import small_pack
from support.tiny_check import OTHER, PROGRAMS, PROMPT, check, tiny_reference
from support.tiny_models import FAMILIES, HIDDEN, LAYERS, write_tiny_model
from vagus_server.plugin.architectures import ARCHITECTURES

pytestmark = pytest.mark.engine

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
#: Families whose layers leave hidden and residual to the norm that follows.
PAIRS = {
    "Llama",
    "Mistral",
    "Mixtral",
    "Qwen2",
    "Qwen3",
    "Qwen3-MoE",
    "Gemma2",
    "Gemma3",
    "Phi-3",
}
#: Architecture of each family that was served as it should be, by family and installation.
_served: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    with other_process() as function:
        yield function


@pytest.fixture(scope="module")
def serve_v2() -> Iterator[Serve]:
    with other_process(v2=True) as function:
        yield function


@pytest.mark.parametrize("installation", ["hook", "norm"])
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str, installation: str, serve: Serve, tmp_path: Path) -> None:
    architecture = write_tiny_model(family, tmp_path)
    check_family(family, installation, 1, serve, tmp_path)
    _served[family, installation] = architecture


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "GPT-NeoX"])
def test_family_on_v2(family: str, serve_v2: Serve, tmp_path: Path) -> None:
    """One of each kind: pairs, pairs with norms of their own, and a stream in one piece."""
    write_tiny_model(family, tmp_path)
    check_family(family, "norm", 2, serve_v2, tmp_path)


def check_family(family: str, installation: str, runner: int, serve: Serve, tmp_path: Path) -> None:
    pack = small_pack(sites=LAYERS, hidden=HIDDEN)
    reference = tiny_reference(tmp_path, pack)
    asked = [*((PROMPT, p) for p in PROGRAMS.values()), (OTHER, PROGRAMS["nothing"])]
    expected = installation if family in PAIRS else "hook"
    options = {
        "installation": installation,
        "installed": [expected] * LAYERS,
        "runner": runner,
    }
    (results,) = serve(tmp_path, pack, Batch(asked), **options)
    for result, (_, message) in zip(results, asked, strict=True):
        check(reference, result, message)
    texts = {tuple(result.ids) for result in results[: len(PROGRAMS)]}
    assert len(texts) == len(PROGRAMS), "steering did not change the tokens"


def test_every_supported_architecture_is_among_them() -> None:
    if len(_served) < 2 * len(FAMILIES):
        pytest.skip("not all families ran")
    assert set(_served.values()) == ARCHITECTURES


def test_the_document_says_what_was_found() -> None:
    if len(_served) < 2 * len(FAMILIES):
        pytest.skip("not all families ran")
    rows = [
        "| family | architecture | steering | readouts | `hook` | `norm` |",
        "|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        fused = "yes" if family in PAIRS else "the hook"
        rows.append(f"| {family} | `{_served[family, 'norm']}` | yes | yes | yes | {fused} |")
    table = "\n".join(rows)
    assert table in DOCUMENT.read_text(), f"docs/models.md should have:\n{table}"
