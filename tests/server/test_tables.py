"""The device tables of a worker, before the first pass."""

from unittest import mock

import torch

from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.tables import Tables

CONFIG = PluginConfig(
    sites=4, hidden_size=8, readout_sites=(2,), concepts=3, slots=5, operations=3, vectors=9
)


def test_a_rehearsal_launches_everything_and_leaves_nothing() -> None:
    tables = Tables(CONFIG, 16, torch.device("cpu"))
    before = [table.clone() for table in (*tables.step, *tables.read)]
    with (
        mock.patch.object(tables, "_begin", side_effect=tables._begin) as begin,
        mock.patch.object(tables, "_gather", side_effect=tables._gather) as gather,
    ):
        tables.rehearse()
    _, requests, programs, _, _ = begin.call_args.args
    assert (requests, programs) == (0, 1), "with a program, so that writing one is launched"
    rows, out, _ = gather.call_args.args
    assert len(rows) == 1, "with a row, for nothing is launched for none"
    assert out.isnan().all()
    for old, new in zip(before, (*tables.step, *tables.read), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0, equal_nan=True)
