"""Import names stay unique, and nobody imports what it must not.

A top-level package `kernels` of ours would shadow Hugging Face's, which transformers imports.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FOLDERS = ("server", "kernels", "clients/python")


def python(code: str, cwd: Path, *paths: Path) -> str:
    """Runs code in a fresh interpreter of this environment; returns what it prints."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    env["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("folder", FOLDERS)
def test_source_folders_are_no_packages(folder: str) -> None:
    assert not (REPO / folder / "__init__.py").exists()


def test_tests_are_no_packages() -> None:
    assert not list((REPO / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("name", ["kernels", "server", "clients", "tests"])
def test_generic_names_never_point_into_the_repository(name: str, tmp_path: Path) -> None:
    """As a console script sees it: without the current directory on the path."""
    code = f"""
import importlib.util
spec = importlib.util.find_spec({name!r})
print(*(spec.submodule_search_locations or [spec.origin]) if spec else ())
"""
    assert str(REPO) not in python(code, tmp_path)


def test_hugging_faces_kernels_wins_even_in_the_repositorys_root(tmp_path: Path) -> None:
    """`python -c` and `python -m` put the current directory first; a package beats a folder."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("REAL = True\n")
    assert python("import kernels; print(kernels.REAL)", REPO, tmp_path) == "True"


def imported_by(module: str, cwd: Path) -> set[str]:
    """Top-level modules that are loaded after importing all of a package."""
    code = f"""
import importlib, json, pkgutil, sys
package = importlib.import_module({module!r})
for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    return set(json.loads(python(code, cwd).splitlines()[-1]))


FORBIDDEN = {
    "vagus": {"torch", "vllm", "transformers", "numpy", "vagus_server", "vagus_kernels"},
    "vagus_kernels": {"vllm", "transformers", "vagus", "vagus_server"},
}


@pytest.mark.parametrize("module", FORBIDDEN)
def test_all_of_a_package_imports_only_what_it_may(module: str, tmp_path: Path) -> None:
    loaded = imported_by(module, tmp_path)
    assert module in loaded
    assert not loaded & FORBIDDEN[module]


def test_the_servers_command_line_starts_without_the_engine(tmp_path: Path) -> None:
    code = """
import sys
import vagus_server.cli
print(sorted({"torch", "vllm", "transformers"} & set(sys.modules)))
"""
    assert python(code, tmp_path) == "[]"
