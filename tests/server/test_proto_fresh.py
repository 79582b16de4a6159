"""The committed protobuf code is what the proto files say, and the proto files are clean."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PROTO = REPO / "proto"
COMMITTED = REPO / "clients/python/vagus/v1"
FILES = sorted(p.relative_to(PROTO) for p in PROTO.rglob("*.proto"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Code generated anew."""
    assert version("grpcio-tools") == "1.81.1", "newer ones emit what protobuf 6.33 cannot load"
    out = tmp_path_factory.mktemp("generated")
    options = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO), *options]
    subprocess.run([*command, *map(str, FILES)], cwd=PROTO, timeout=300, check=True)
    return out / "vagus/v1"


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("suffix", ["_pb2.py", "_pb2.pyi", "_pb2_grpc.py"])
def test_code_is_fresh(generated: Path, file: Path, suffix: str) -> None:
    name = file.stem + suffix
    assert (COMMITTED / name).read_bytes() == (generated / name).read_bytes(), "run make proto"


def test_nothing_is_left_of_proto_files_that_are_gone(generated: Path) -> None:
    committed = {p.name for p in COMMITTED.glob("*_pb2*")}
    assert committed == {p.name for p in generated.glob("*_pb2*")}


def test_proto_files_pass_buf_lint() -> None:
    buf = Path(sys.executable).parent / "buf"
    run = subprocess.run([buf, "lint"], cwd=REPO, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")
