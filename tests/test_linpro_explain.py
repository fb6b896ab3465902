"""LinproLabels.explain: which confidences contradict one another."""

from __future__ import annotations

import pytest
import torch

import gaufuse_ext as gx

SEGMENTS = torch.tensor([[2.0, 6.0], [2.0, 6.0], [10.0, 14.0], [20.0, 24.0]], dtype=torch.float64)
SCORES = torch.tensor([0.2, 0.8, 0.5, 1.5], dtype=torch.float64)


def test_by_hand():
    """Two that cover the same snippets, one alone that is met, one out of range."""
    found = gx.linpro_labels(SEGMENTS, SCORES, 30)
    reached = found.labels[2:6].mean().item()
    assert 0.2 < reached < 0.8
    conflicts = found.explain()
    assert {conflict.instance for conflict in conflicts} == {0, 1, 3}
    misses = [conflict.missed for conflict in conflicts]
    assert misses == sorted(misses, reverse=True)
    by_instance = {conflict.instance: conflict for conflict in conflicts}
    assert by_instance[0].against == (1,)
    assert by_instance[1].against == (0,)
    assert by_instance[0].segment == (2.0, 6.0)
    assert by_instance[0].confidence == 0.2
    assert by_instance[0].reached == pytest.approx(reached)
    assert by_instance[0].missed == pytest.approx(reached - 0.2)
    assert by_instance[3].against == ()
    assert by_instance[3].reached == pytest.approx(1.0)
    assert str(by_instance[3]) == (
        "instance 3 [20, 24) should reach 1.5 and reaches 1, out of the range of labels in [0, 1]"
    )
    assert str(by_instance[0]).startswith("instance 0 [2, 6) should reach 0.2 and reaches 0.")
    assert str(by_instance[0]).endswith(", against 1")


@pytest.mark.parametrize("backend", ["native", "highs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_to_explain(backend, dtype):
    segments, scores = SEGMENTS[1:3].to(dtype), SCORES[1:3].to(dtype)
    assert gx.linpro_labels(segments, scores, 30, backend=backend).explain() == []


def test_misses_add_up_to_the_residual(device):
    """Batched and ragged, with padding that must not be read; each group as if alone."""
    segments = SEGMENTS.repeat(3, 1, 1).to(device)
    scores = SCORES.repeat(3, 1).to(device)
    scores[1, 2:] = torch.nan
    counts, lengths = torch.tensor([4, 2, 0], device=device), [30, 4, 30]
    options = [{}, {"rows": "contrast_mean"}, {"formulation": "released"}]
    for way in options:
        found = gx.linpro_labels(segments, scores, 30, counts, lengths=lengths, **way)
        for g in range(3):
            conflicts = found.explain(g)
            total = sum(conflict.missed for conflict in conflicts)
            assert total == pytest.approx(found.residual[g].item(), abs=1e-5)
            n = int(counts[g])
            alone = gx.linpro_labels(segments[g, :n], scores[g, :n], lengths[g], **way)
            assert conflicts == alone.explain()
    assert found.explain(2) == []


def test_instances_that_do_not_count():
    """Of weight zero, or over no snippet."""
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    segments = SEGMENTS.clone()
    segments[3] += 40.0
    assert gx.linpro_labels(segments, SCORES, 30, weights=weights).explain() == []


@pytest.mark.parametrize("group", [-1, 1])
def test_no_such_group(group):
    with pytest.raises(IndexError, match=r"group must lie in \[0, 1\)"):
        gx.linpro_labels(SEGMENTS, SCORES, 30).explain(group)
