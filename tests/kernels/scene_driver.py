"""Checks the benchmark's scenes under several choices of tuning; run with TRITON_INTERPRET=1."""

import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch

bench = ModuleType("bench")
bench.__path__ = [str(Path(__file__).parents[2] / "bench")]
sys.modules["bench"] = bench

CHOICES = (
    {},
    {"few_rows": 16, "tile_rows": 128, "tile_concepts": 32, "step_columns": 32},
    {"tile_concepts": 128, "step_columns": 128, "enough": 264, "row_warps": 8},
)
ROWS = (1, 17, 70)
HIDDEN = 136


def main() -> None:
    """Raises unless every scene is right."""
    from bench.kernels.roofline import Work
    from bench.kernels.scene import Scene
    from vagus_kernels import project, steer_add_rms_norm
    from vagus_kernels.tuning import Tuning

    torch.set_num_threads(1)
    for given in CHOICES:
        chosen = mock.Mock(return_value=Tuning(**given))
        with (
            mock.patch.object(project, "tuning", chosen),
            mock.patch.object(steer_add_rms_norm, "tuning", chosen),
        ):
            for rows in ROWS:
                Scene(Work(rows, HIDDEN, steered=3, programs=rows, concepts=33), 1, "cpu").check()
                Scene(Work(rows, HIDDEN, steered=1), 1, "cpu").check()
        assert chosen.called


if __name__ == "__main__":
    main()
