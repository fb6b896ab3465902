"""Which instances labels are made of, their confidences, and the ways from them to labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import gaufuse_ext as gx
from gaufuse.config import InstancesConfig
from gaufuse.labels.pipeline import labels_of, share_between_classes
from gaufuse.labels.pseudo_instances import inner_mean, pseudo_instances
from gaufuse.localization.instances import ActivationGroups, find_instances
from training_setups import short_config

# One class of two videos; the second has five snippets and padding that must not be seen.
ACTIVATIONS = torch.tensor(
    [
        [0.1, 0.9, 0.7, 0.1, 0.1, 0.4, 0.2, 0.1],
        [0.0, 0.0, 0.6, 0.2, 0.2, 9.0, 9.0, 9.0],
    ]
)
GROUPS = ActivationGroups(
    video=torch.tensor([0, 1]),
    label=torch.tensor([0, 0]),
    score=torch.ones(2),
    activations=ACTIVATIONS,
    lengths=torch.tensor([8, 5]),
)


def fused(segments: list, scores: list, counts: list[int]) -> gx.FusedSegments:
    scores = torch.tensor(scores)
    return gx.FusedSegments(
        torch.tensor(segments), scores, torch.tensor(counts), torch.zeros(0), torch.zeros(0)
    )


FUSED = fused(
    [[[1.4, 3.9], [5.0, 7.0], [0.0, 8.0]], [[2.0, 9.0], [0.0, 0.5], [0.0, 0.0]]],
    [[0.6, 0.2, 0.1], [0.4, -0.3, 0.0]],
    [3, 2],
)


def test_inner_means_are_of_the_snippets_that_labels_cover():
    # [1, 3), [5, 7), [0, 8); [2, 9) cut to [2, 5), [0, 0) without a snippet, padding.
    expected = torch.tensor([[0.8, 0.3, 0.325], [1 / 3, 0.0, 0.0]])
    torch.testing.assert_close(inner_mean(FUSED.segments, GROUPS), expected)


def test_without_settings_instances_are_the_fused_ones():
    segments, confidences, counts = pseudo_instances(FUSED, GROUPS, InstancesConfig())
    assert torch.equal(segments, FUSED.segments)
    assert torch.equal(confidences, FUSED.scores.clamp(0.0, 1.0))
    assert counts.tolist() == [3, 2]


def test_instances_far_below_the_best_one_are_dropped():
    config = InstancesConfig(keep=0.3)
    segments, confidences, counts = pseudo_instances(FUSED, GROUPS, config)
    assert counts.tolist() == [2, 1]  # 0.6 and 0.2 >= 0.18; 0.4
    assert confidences[0, :2].tolist() == pytest.approx([0.6, 0.2])
    assert torch.equal(segments[1, 0], FUSED.segments[1, 0])


def test_the_best_one_stays_whatever_its_contrast():
    below = fused([[[0.0, 2.0], [3.0, 5.0]]], [[-0.2, -0.29]], [2])
    groups = ActivationGroups(*(value[:1] for value in vars(GROUPS).values()))
    assert pseudo_instances(below, groups, InstancesConfig(keep=0.5))[2].tolist() == [2]
    assert pseudo_instances(below, groups, InstancesConfig(keep=0.9))[2].tolist() == [1]


def test_those_kept_come_first_in_their_order():
    mixed = fused([[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]], [[0.1, 0.9, 0.8]], [3])
    groups = ActivationGroups(*(value[:1] for value in vars(GROUPS).values()))
    segments, _, counts = pseudo_instances(mixed, groups, InstancesConfig(keep=0.5))
    assert segments[0, : int(counts)].tolist() == [[1.0, 2.0], [2.0, 3.0]]


def test_confidences_as_shares_of_the_best_kept_one():
    config = InstancesConfig(confidence="mean", keep=0.3, share_of_best=1.0)
    _, confidences, _ = pseudo_instances(FUSED, GROUPS, config)
    assert confidences[0, :2].tolist() == pytest.approx([1.0, 0.3 / 0.8])
    assert confidences[1, 0].item() == 1.0
    half = config.model_copy(update={"share_of_best": 0.5})
    _, confidences, _ = pseudo_instances(FUSED, GROUPS, half)
    assert confidences[0, 0].item() == pytest.approx(0.8**0.5)


def test_those_near_the_best_one_are_certain():
    config = InstancesConfig(confidence="mean", keep=0.3, share_of_best=1.0, certain=0.75)
    _, confidences, _ = pseudo_instances(FUSED, GROUPS, config)
    assert confidences[0, :2].tolist() == pytest.approx([1.0, 0.3 / 0.8 / 0.75])
    config = config.model_copy(update={"certain": 0.3})
    assert pseudo_instances(FUSED, GROUPS, config)[1][0, :2].tolist() == [1.0, 1.0]


def test_classes_of_a_video_share_a_snippet():
    # Two classes of video 3, one of video 0: a batch may have videos without groups.
    labels = torch.tensor([[0.6, 0.2, 0.8, 0.0], [0.6, 0.3, 0.4, 0.0], [1.0, 0.9, 0.8, 0.0]])
    video = torch.tensor([3, 3, 0])
    assert torch.equal(share_between_classes(labels, video, 0.0), labels)
    shared = share_between_classes(labels, video, 1.0)
    expected = [[0.5, 0.2, 2 / 3, 0.0], [0.5, 0.3, 1 / 3, 0.0], labels[2].tolist()]
    torch.testing.assert_close(shared, torch.tensor(expected))
    squared = share_between_classes(labels, video, 2.0)
    assert squared[0].tolist() == pytest.approx([0.5, 0.2, 0.8, 0.0])
    assert squared.dtype == labels.dtype
    assert share_between_classes(labels[:0], video[:0], 1.0).shape == (0, 4)


@pytest.mark.parametrize("combine", ["linpro", "mean"])
def test_exclusive_labels_add_up_to_one_at_most(combine):
    one_video = replace(GROUPS, video=torch.zeros_like(GROUPS.video))
    settings = [
        f"instances.combine={combine}",
        "instances.share_of_best=1.0",
        "labels.threshold_kind=range",
        "labels.thresholds=[0.1, 0.1, 0.9]",
    ]
    apart = labels_of(one_video, short_config(*settings), 0.1).labels
    shared = labels_of(one_video, short_config(*settings, "instances.exclusive=4"), 0.1).labels
    assert float(apart.sum(0).max()) > 1.01
    assert float(shared.sum(0).max()) < 1.000001
    alone = apart.sum(0) <= 1.0
    assert torch.equal(shared[:, alone], apart[:, alone])


def test_no_groups_and_no_instances():
    nothing = fused([[[0.0, 0.0]]] * 2, [[0.0]] * 2, [0, 0])
    config = InstancesConfig(confidence="mean", keep=0.5, share_of_best=1.0)
    assert pseudo_instances(nothing, GROUPS, config)[2].tolist() == [0, 0]
    none = ActivationGroups(*(value[:0] for value in vars(GROUPS).values()))
    empty = gx.FusedSegments(
        *(torch.zeros(0, 0, 2), torch.zeros(0, 0), torch.zeros(0).long()) * 1,
        torch.zeros(0),
        torch.zeros(0),
    )
    assert pseudo_instances(empty, none, config)[2].tolist() == []


@pytest.mark.parametrize("combine", ["mean", "maximum"])
def test_mean_and_maximum_of_covering_instances_snippet_by_snippet(combine):
    config = short_config(
        f"instances.combine={combine}",
        "instances.confidence=mean",
        "instances.keep=0.2",
        "labels.threshold_kind=range",
        "labels.thresholds=[0.1, 0.1, 0.9]",
    )
    made = labels_of(GROUPS, config, 0.1)
    segments, confidences, counts = pseudo_instances(
        find_instances(GROUPS, config.labels, 0.1), GROUPS, config.instances
    )
    assert int(counts.sum()) > 2
    for group in range(2):
        for snippet in range(8):
            covering = [
                float(confidences[group, i])
                for i in range(int(counts[group]))
                if int(segments[group, i, 0])
                <= snippet
                < min(int(segments[group, i, 1]), int(GROUPS.lengths[group]))
            ]
            expected = 0.0
            if covering:
                expected = max(covering) if combine == "maximum" else sum(covering) / len(covering)
            assert float(made.labels[group, snippet]) == pytest.approx(expected, abs=1e-6)
    assert made.status == ["combined", "combined"]


def test_nms_in_place_of_fusion_keeps_proposals_as_they_are():
    config = short_config(
        "labels.fusion=nms",
        "labels.fusion_threshold=0.3",
        "labels.threshold_kind=range",
        "labels.thresholds=[0.1, 0.1, 0.9]",
    ).labels
    from gaufuse.localization.instances import find_proposals

    proposals, found = find_proposals(GROUPS, config), find_instances(GROUPS, config, 0.1)
    for group in range(2):
        count = int(found.counts[group])
        keep = gx.nms(
            proposals.segments[group, : int(proposals.counts[group])],
            proposals.scores[group, : int(proposals.counts[group])],
            0.3,
        )
        assert count == len(keep) > 0
        assert torch.equal(found.segments[group, :count], proposals.segments[group, keep])
        assert torch.equal(found.scores[group, :count], proposals.scores[group, keep])
        assert not found.segments[group, count:].any()
        assert found.assignment[group, keep].tolist() == list(range(count))
