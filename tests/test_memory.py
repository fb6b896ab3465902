"""The class memory keeps the best representatives of the video's own classes."""

from __future__ import annotations

import pytest
import torch

from gaufuse.model.class_memory import Candidates, ClassMemory

CLASSES, SIZE, DIM, K = 4, 2, 3, 5


def outputs(seed: int) -> Candidates:
    generator = torch.Generator().manual_seed(seed)
    return Candidates(
        representatives=torch.randn(3, K, DIM, generator=generator),
        representative_scores=torch.rand(3, K, CLASSES + 1, generator=generator),
    )


LABELS = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]])


def expected(batches: list[Candidates], label: int) -> list[tuple[float, list[float]]]:
    seen = [
        (float(batch.representative_scores[b, k, label]), batch.representatives[b, k].tolist())
        for batch in batches
        for b in range(3)
        if LABELS[b, label]
        for k in range(K)
    ]
    return sorted(seen, reverse=True)[:SIZE]


def test_keeps_the_best_of_each_class_over_several_batches():
    memory = ClassMemory(CLASSES, SIZE, DIM, torch.device("cpu"))
    batches = [outputs(0), outputs(1), outputs(2)]
    for batch in batches:
        memory.update(batch, LABELS)
    for label in (0, 1):
        for slot, (score, row) in enumerate(expected(batches, label)):
            assert float(memory.scores[label, slot]) == pytest.approx(score)
            assert memory.rows[label, slot].tolist() == pytest.approx(row)
    assert torch.isinf(memory.scores[2:]).all()  # no video of these classes


def test_recall_is_of_the_videos_own_classes():
    memory = ClassMemory(CLASSES, SIZE, DIM, torch.device("cpu"))
    memory.update(outputs(0), LABELS)
    wanted = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    rows, valid = memory.recall(wanted, most_labels=2)
    assert rows.shape == (3, 2 * SIZE, DIM)
    for video, labels in enumerate(([0], [1], [])):
        own = rows[video][valid[video]]
        torch.testing.assert_close(own, memory.rows[labels].reshape(-1, DIM))


def test_clear_empties_it():
    memory = ClassMemory(CLASSES, SIZE, DIM, torch.device("cpu"))
    memory.update(outputs(0), LABELS)
    memory.clear()
    assert not memory.recall(LABELS, 2)[1].any()
