"""Parity with the authors' release on 60 recorded cases (tests/data/README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import gaufuse_ext as gx

RECORDED = Path(__file__).parent / "data"
THRESHOLDS = np.arange(0.001, 0.04, 0.002)


class Case:
    def __init__(self, description: dict, arrays: np.lib.npyio.NpzFile):
        self.name = description["name"]
        self.description = description
        self._arrays = arrays

    def __getitem__(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self._arrays[f"{self.name}_{key}"])


@pytest.fixture
def cases() -> list[Case]:
    arrays = np.load(RECORDED / "released_pipeline.npz", allow_pickle=False)
    table = json.loads((RECORDED / "released_pipeline.json").read_text())
    assert len(table) == 60
    return [Case(description, arrays) for description in table]


def rows(table: torch.Tensor) -> torch.Tensor:
    """Rows in one order: ties were sorted by an unstable sort."""
    keys = np.lexsort(table.round(decimals=4).T.numpy()[::-1])
    return table[torch.from_numpy(keys)]


def close(actual: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    torch.testing.assert_close(
        actual.double().cpu(), expected.double(), rtol=1e-5, atol=1e-6, msg=lambda m: f"{name}: {m}"
    )


def with_names(cases: list[Case]) -> Iterator[tuple[Case, str]]:
    return ((case, case.name) for case in cases)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_proposals(cases, device, dtype):
    for case, name in with_names(cases):
        p = gx.threshold_proposals(case["cas"].to(device, dtype), THRESHOLDS)
        expected = case["proposals"]
        assert p.counts.item() == len(expected), name
        n = len(expected)
        found = torch.cat([p.segments[:n], p.scores[:n, None], p.weights[:n, None]], dim=1)
        close(found, expected, name)


def test_fusion_of_released_proposals(cases, device):
    for case, name in with_names(cases):
        proposals = case["proposals"].to(device)
        f = gx.fuse_segments(
            proposals[:, :2],
            proposals[:, 2],
            proposals[:, 3],
            temperature=case.description["temperature"],
        )
        n = int(f.counts)
        assert n == case.description["n_fused"], name
        fused = torch.cat([f.segments[:n], f.scores[:n, None]], dim=1).cpu()
        close(rows(fused), rows(case["fused"]), name)
        close(fused, case["eval_fused"], name)


def test_activations_to_instances(cases, device):
    for case, name in with_names(cases):
        p = gx.threshold_proposals(case["cas"].to(device, torch.float64), THRESHOLDS)
        f = gx.fuse_segments(
            p.segments,
            p.scores,
            p.weights,
            p.counts,
            temperature=case.description["temperature"],
        )
        n = int(f.counts)
        fused = torch.cat([f.segments[:n], f.scores[:n, None]], dim=1).cpu()
        close(rows(fused), rows(case["fused"]), name)


def test_membership_sums(cases, device):
    for case, name in with_names(cases):
        matrix = gx.interval_membership(case["fused"][:, :2].to(device), case.description["T"])
        close(matrix.sum(1), case["membership_rowsum"], name)
        close(matrix.sum(0), case["membership_colsum"], name)


def test_released_labels(cases):
    infeasible = 0
    for case, name in with_names(cases):
        fused = case["fused"]
        r = gx.linpro_labels(
            fused[:, :2], fused[:, 2], case.description["T"], formulation="released"
        )
        assert torch.isfinite(r.labels).all(), name
        if case.description["lp_status"] == 0:
            assert r.status == "optimal", name
            close(r.objective, torch.tensor(case.description["lp_objective"]), name)
        else:
            infeasible += 1
            assert r.status == "relaxed", name
        close(r.residual, torch.tensor(case.description["elastic_l1_residual"]), name)
    assert infeasible == 2


def test_uniform_reaches_the_least_residual_of_mean_rows(cases):
    """With the confidence term alone, the program is the elastic one over mean rows."""
    for case, name in with_names(cases):
        fused = case["fused"]
        r = gx.linpro_labels(
            fused[:, :2],
            fused[:, 2],
            case.description["T"],
            prices="instance",
            uniformity_weight=0.0,
            anchor_weight=0.0,
            sparsity_weight=0.0,
        )
        close(r.residual, torch.tensor(case.description["mean_l1_residual"]), name)
