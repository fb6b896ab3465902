"""Bad input: a ValueError or TypeError that names the argument and says what it was."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import gaufuse_ext as gx

S = torch.tensor([[[0.0, 4.0], [1.0, 5.0], [9.0, 9.0]], [[3.0, 4.0], [2.0, 9.0], [0.0, 1.0]]])
Q = torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.4, 0.3]])
CAS = torch.tensor([[0.1, 0.6, 0.7, 0.2, 0.0], [0.9, 0.9, 0.0, 0.3, 0.3]])
NAN, INF = float("nan"), float("inf")


def fuse(segments=S, scores=Q, *args, **options):
    return gx.fuse_segments(segments, scores, *args, **options)


def nms(segments=S, scores=Q, iou_threshold=0.5, counts=None):
    return gx.nms(segments, scores, iou_threshold, counts)


def label(segments=S, scores=Q, num_snippets=12, *args, **options):
    return gx.linpro_labels(segments, scores, num_snippets, *args, **options)


def member(segments=S, num_snippets=12, *args, **options):
    return gx.interval_membership(segments, num_snippets, *args, **options)


def propose(cas=CAS, thresholds=(0.5,), *args, **options):
    return gx.threshold_proposals(cas, thresholds, *args, **options)


def iou(a=S, b=S):
    return gx.segment_iou(a, b)


def soft(segments=S, scores=Q, *args, **options):
    return gx.soft_nms(segments, scores, *args, **options)


def vote(segments=S, scores=Q, iou_threshold=0.5, kept=None, kept_counts=None, counts=None):
    """The segments' own dtype for what was kept: its checks come after theirs."""
    same_kind = isinstance(segments, torch.Tensor) and segments.is_floating_point()
    if kept is None:
        kept = torch.zeros_like(segments) if same_kind else S
    return gx.segment_voting(kept, segments, scores, iou_threshold, kept_counts, counts)


def weigh(segments=S, scores=Q, *args, **options):
    return gx.weighted_segments_fusion(segments, scores, *args, **options)


OF_SCORES = {
    "fuse": fuse,
    "nms": nms,
    "label": label,
    "soft": soft,
    "vote": vote,
    "weigh": weigh,
}
OF_SEGMENTS = {**OF_SCORES, "member": member, "iou": iou}
RAGGED = {**OF_SCORES, "member": member}


def changed(values: torch.Tensor, position: tuple[int, ...], value) -> torch.Tensor:
    values = values.clone()
    values[position] = torch.as_tensor(value)
    return values


def test_the_input_that_the_cases_spoil_is_good():
    for call in (*OF_SEGMENTS.values(), propose):
        call()


def name_of_segments(operation: str) -> str:
    return "a" if operation == "iou" else "segments"


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, r"must be a torch.Tensor of shape \(G, N, 2\).* got None"),
        ([[0.0, 1.0]], TypeError, r"must be a torch.Tensor .* got \[\[0.0, 1.0\]\] \(list\)"),
        (S.numpy(), TypeError, r"must be a torch.Tensor"),
        (S.long(), TypeError, r"must be float32 or float64, got .*torch.int64"),
        (S.half(), TypeError, r"must be float32 or float64, got .*torch.float16"),
        (S[0, 0], ValueError, r"must have shape \(G, N, 2\).* got a tensor of shape \(2,\)"),
        (
            S[None],
            ValueError,
            r"must have shape \(G, N, 2\).* got a tensor of shape \(1, 2, 3, 2\)",
        ),
        (
            S[..., :1],
            ValueError,
            r"must have shape \(G, N, 2\).* got a tensor of shape \(2, 3, 1\)",
        ),
    ],
)
@pytest.mark.parametrize("operation", OF_SEGMENTS)
def test_segments_of_the_wrong_kind(operation, value, error, message):
    with pytest.raises(error, match=f"^{name_of_segments(operation)} {message}"):
        OF_SEGMENTS[operation](value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ([NAN, 4.0], "must be finite, got [nan, 4"),
        ([1.0, INF], "must be finite, got [1"),
        ([-INF, 4.0], "must be finite, got [-inf, 4"),
        ([4.5, 2.25], "must have end >= start, got [4.5, 2.25]"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("operation", OF_SEGMENTS)
def test_bad_boundaries_are_named_by_position(operation, dtype, pair, message):
    values = {"segments": S, "scores": Q} if operation in OF_SCORES else {"segments": S}
    values = {name: x.to(dtype) for name, x in values.items()}
    values["segments"] = changed(values["segments"], (1, 2), torch.tensor(pair, dtype=dtype))
    message = re.escape(f"{name_of_segments(operation)} {message}") + r".* at \[1, 2\]$"
    if operation == "iou":
        values = {"a": values["segments"], "b": S.to(dtype)}
    with pytest.raises(ValueError, match=message):
        OF_SEGMENTS[operation](**values)
    if operation == "iou":
        with pytest.raises(ValueError, match=r"^b" + message[1:]):
            iou(values["b"], values["a"])


@pytest.mark.parametrize("operation", OF_SCORES)
def test_scores_of_the_wrong_kind(operation):
    call = OF_SCORES[operation]
    with pytest.raises(ValueError, match=r"^scores must have shape \(2, 3\), got .*\(2, 2\)"):
        call(S, Q[:, :2])
    with pytest.raises(ValueError, match=r"^scores must have shape \(3,\), got .*\(2, 3\)"):
        call(S[0], Q)
    with pytest.raises(TypeError, match=r"^scores must be torch.float32 on cpu, got .*float64"):
        call(S, Q.double())
    with pytest.raises(TypeError, match=r"^scores must be torch.float32 on cpu, got .*meta"):
        call(S, Q.to("meta"))
    with pytest.raises(TypeError, match=r"^scores must be a torch.Tensor of shape .* got None"):
        call(S, None)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("operation", OF_SCORES)
def test_bad_scores_are_named_by_position(operation, value):
    with pytest.raises(ValueError, match=rf"^scores must be finite, got {value} at \[1, 0\]$"):
        OF_SCORES[operation](S, changed(Q, (1, 0), value))
    OF_SCORES[operation](S, changed(Q, (1, 2), value), counts=[3, 2])  # in the padding: no matter


def test_weights():
    with pytest.raises(ValueError, match=r"^weights must have shape \(2, 3\), got .*\(3,\)"):
        fuse(S, Q, Q[0])
    with pytest.raises(TypeError, match=r"^weights must be torch.float32 on cpu, got .*float64"):
        fuse(S, Q, Q.double())
    with pytest.raises(ValueError, match=r"^weights must be finite, got nan at \[0, 1\]"):
        fuse(S, Q, changed(Q, (0, 1), NAN))


def test_second_segments():
    with pytest.raises(ValueError, match=r"^b must have shape \(2, 3, 2\), got .*\(1, 3, 2\)"):
        iou(S, S[:1])
    with pytest.raises(ValueError, match=r"^b must have shape \(3, 2\), got"):
        iou(S[0], S)
    with pytest.raises(TypeError, match=r"^b must be torch.float32 on cpu, got .*float64"):
        iou(S, S.double())
    with pytest.raises(TypeError, match=r"^b must be a torch.Tensor"):
        iou(S, None)


def test_kept_segments():
    with pytest.raises(TypeError, match=r"^kept must be a torch.Tensor of shape \(G, N, 2\)"):
        gx.segment_voting(None, S, Q, 0.5)
    with pytest.raises(ValueError, match=r"^kept must have shape \(2, 3, 2\), got .*\(1, 3, 2\)"):
        vote(kept=S[:1])
    with pytest.raises(ValueError, match=r"^kept must have shape \(3, 2\), got .*\(2, 3, 2\)"):
        vote(S[0], Q[0], kept=S)
    with pytest.raises(TypeError, match=r"^kept must be torch.float32 on cpu, got .*float64"):
        vote(kept=S.double())
    with pytest.raises(ValueError, match=r"^kept must be finite, got \[nan, 4\] at \[0, 1\]"):
        vote(kept=changed(S, (0, 1, 0), NAN) + torch.tensor([0.0, -1.0]))
    with pytest.raises(ValueError, match=r"^kept must have end >= start, got \[7, 4\] at \[1, 0\]"):
        vote(kept=changed(S, (1, 0, 0), 7.0))
    vote(kept=changed(S, (1, 2), NAN), kept_counts=[3, 2])  # in the padding: no matter
    with pytest.raises(ValueError, match=r"^kept_counts must lie in \[0, 3\], got 4 at \[1\]"):
        vote(kept_counts=[3, 4])


COUNTS = [
    ([3], ValueError, r"must have shape \(2,\), got"),
    (3, ValueError, r"must have shape \(2,\), got"),
    ([[3, 3]], ValueError, r"must have shape \(2,\), got"),
    (torch.tensor([3, 3, 3]), ValueError, r"must have shape \(2,\), got"),
    ([3.0, 1.5], TypeError, r"must hold integers, got \[3.0, 1.5\]"),
    (np.array([3.0, 1.0]), TypeError, "must hold integers"),
    ([True, True], TypeError, "must hold integers"),
    ("33", TypeError, "must hold integers, got '33'"),
    ([None, 1], TypeError, "must hold integers"),
    ([2**70, 1], TypeError, "must hold integers"),
    (torch.tensor([3.0, 1.0]), TypeError, "must hold integers, got .*float32"),
    (torch.tensor([True, True]), TypeError, "must hold integers, got .*bool"),
    (torch.tensor([1, 1], device="meta"), ValueError, "must be on cpu, got .*meta"),
]


@pytest.mark.parametrize(("value", "error", "message"), COUNTS)
def test_counts_and_lengths_of_the_wrong_kind(value, error, message):
    for call in RAGGED.values():
        with pytest.raises(error, match=f"^counts {message}"):
            call(counts=value)
    with pytest.raises(error, match=f"^kept_counts {message}"):
        vote(kept_counts=value)
    for call in (label, member, propose):
        with pytest.raises(error, match=f"^lengths {message}"):
            call(lengths=value)


def test_counts_and_lengths_out_of_range():
    for bad in (4, -1, 2**40):
        for call in RAGGED.values():
            message = rf"^counts must lie in \[0, 3\], got {bad} at \[1\]"
            with pytest.raises(ValueError, match=message):
                call(counts=[3, bad])
    for call, size in ((label, 12), (member, 12), (propose, 5)):
        for bad in (size + 1, -1):
            message = rf"^lengths must lie in \[0, {size}\], got {bad} at \[0\]"
            with pytest.raises(ValueError, match=message):
                call(lengths=[bad, size])


def test_activations():
    with pytest.raises(TypeError, match=r"^cas must be a torch.Tensor of shape \(G, T\).* got \["):
        propose([[0.5]])
    with pytest.raises(TypeError, match=r"^cas must be float32 or float64, got .*int64"):
        propose(CAS.long())
    with pytest.raises(ValueError, match=r"^cas must have shape \(G, T\).* got .*\(1, 2, 5\)"):
        propose(CAS[None])
    for value in (NAN, INF, -INF):
        with pytest.raises(ValueError, match=rf"^cas must be finite, got {value} at \[1, 3\]$"):
            propose(changed(CAS, (1, 3), value))
        with pytest.raises(ValueError, match=r"^cas must be finite, got .* at \[0, 4\]$"):
            propose(changed(CAS.half(), (0, 4), value))
    # The largest numbers are no infinity, not even summed.
    propose(torch.full((2, 5), torch.finfo(torch.float64).max, dtype=torch.float64))


@pytest.mark.parametrize(
    ("thresholds", "error", "message"),
    [
        (None, TypeError, "must hold numbers, got None"),
        ("0.5", TypeError, "must hold numbers, got '0.5'"),
        (["a"], TypeError, "must hold numbers"),
        ([1j], TypeError, "must hold numbers"),
        ([[0.1], [0.2, 0.3]], TypeError, "must hold numbers"),
        (torch.tensor([True]), TypeError, "must hold numbers, got .*bool"),
        (torch.tensor([1j]), TypeError, "must hold numbers, got .*complex64"),
        (0.5, ValueError, r"must have shape \(H,\) or \(2, H\), got .*\(\)"),
        (torch.zeros(3, 2), ValueError, r"must have shape \(H,\) or \(2, H\), got .*\(3, 2\)"),
        (torch.zeros(1, 2, 2), ValueError, r"must have shape \(H,\) or \(2, H\), got"),
        ([0.1, NAN], ValueError, r"must be finite, got \[0.1, nan\]"),
        (torch.tensor([0.1, NAN]), ValueError, r"must be finite, got nan at \[0, 1\]"),
        (torch.tensor([[0.1], [INF]]), ValueError, r"must be finite, got inf at \[1, 0\]"),
    ],
)
def test_thresholds(thresholds, error, message):
    with pytest.raises(error, match=f"^thresholds {message}"):
        propose(CAS, thresholds)


INTEGERS = [
    (member, "num_snippets", 0),
    (label, "num_snippets", 0),
    (propose, "min_length", 1),
    (propose, "max_proposals", 0),
    (soft, "max_output", 0),
    (weigh, "num_models", 1),
]


@pytest.mark.parametrize(("call", "name", "least"), INTEGERS)
def test_integers(call, name, least):
    values = [2.0, "2", [2], True, torch.tensor(2)]
    if name not in ("max_proposals", "max_output"):  # where None has a meaning
        values.append(None)
    for value in values:
        with pytest.raises(TypeError, match=f"^{name} must be an integer, got"):
            call(**{name: value})
    with pytest.raises(ValueError, match=f"^{name} must be at least {least}, got {least - 1}"):
        call(**{name: least - 1})
    call(**{name: np.int64(least)})


NUMBERS = [
    (fuse, "temperature", "must be positive and finite", [0.0, -0.2]),
    (fuse, "threshold", "must be finite", []),
    (fuse, "length_offset", "must be finite and not negative", [-1.0]),
    (propose, "margin", "must be finite and not negative", [-1.0]),
    (propose, "margin_power", "must be finite and not negative", [-1.0]),
    (member, "margin", "must be finite and not negative", [-1.0]),
    (member, "margin_power", "must be finite and not negative", [-1.0]),
    (nms, "iou_threshold", r"must lie in \[0, 1\]", [-0.1, 1.1]),
    (soft, "sigma", "must be positive and finite", [0.0, -0.5]),
    (soft, "iou_threshold", r"must lie in \[0, 1\]", [-0.1, 1.1]),
    (soft, "min_score", "must be finite", []),
    (vote, "iou_threshold", r"must lie in \[0, 1\]", [-0.1, 1.1]),
    (weigh, "iou_threshold", r"must lie in \[0, 1\]", [-0.1, 1.1]),
    (weigh, "skip_below", "must be finite and not negative", [-0.1]),
    (label, "confidence_weight", "must be finite and not negative", [-1.0]),
    (label, "uniformity_weight", "must be finite and not negative", [-1.0]),
    (label, "sparsity_weight", "must be finite and not negative", [-1.0]),
]


@pytest.mark.parametrize(("call", "name", "message", "values"), NUMBERS)
def test_numbers(call, name, message, values):
    for value in (*values, NAN, INF, -INF):
        with pytest.raises(ValueError, match=f"^{name} {message}, got {value}"):
            call(**{name: value})
    for value in ("0.5", None, [0.5], torch.tensor(0.5), 1j):
        with pytest.raises(TypeError, match=f"^{name} must be a number, got"):
            call(**{name: value})
    call(**{name: 1})
    call(**{name: np.float32(0.5)})


CHOICES = [
    (fuse, "overlap", "candidate, iou, min"),
    (member, "mode", "contrast, mean, contrast_mean"),
    (soft, "method", "gaussian, linear"),
    (weigh, "confidence", "avg, max"),
    (label, "formulation", "uniform, released"),
    (label, "rows", "mean, contrast_mean"),
    (label, "backend", "auto, native, highs"),
]


@pytest.mark.parametrize(("call", "name", "choices"), CHOICES)
def test_choices(call, name, choices):
    for value in ("", "IoU", None, 0, ["iou"], {}):
        message = re.escape(f"{name} must be one of {choices}")
        with pytest.raises(ValueError, match=f"^{message}.*, got {re.escape(repr(value))}$"):
            call(**{name: value})


@pytest.mark.gpu
def test_tensors_on_different_devices():
    with pytest.raises(TypeError, match=r"^scores must be torch.float32 on cuda:0, got .*cpu"):
        fuse(S.cuda(), Q)
    with pytest.raises(ValueError, match=r"^counts must be on cuda:0, got .*cpu"):
        fuse(S.cuda(), Q.cuda(), counts=torch.tensor([1, 1]))


@pytest.mark.gpu
def test_values_on_the_gpu_lead_nowhere_out_of_bounds():
    """They are not checked there: whatever they are, the results keep their shapes."""
    wild = changed(changed(S, (0, 1), NAN), (1, 0), torch.tensor([9e30, -INF])).cuda()
    scores = changed(Q, (0, 1), NAN).cuda()
    counts = torch.tensor([2**40, -5]).cuda()
    f = gx.fuse_segments(wild, scores, counts=counts)
    assert f.counts.min() >= 0
    assert f.counts.max() <= 3
    keep = gx.nms(wild, scores, 0.5, counts)
    assert keep.min() >= -1
    assert keep.max() < 3
    for method in ("gaussian", "linear"):
        found = gx.soft_nms(wild, scores, counts, method=method)
        assert found.keep.min() >= -1
        assert found.keep.max() < 3
        assert found.counts.max() <= 3
    gx.segment_voting(wild, wild, scores, 0.5, counts, counts)
    w = gx.weighted_segments_fusion(wild, scores, counts)
    assert w.counts.max() <= 3
    assert w.assignment.min() >= -1
    assert w.assignment.max() < 3
    gx.interval_membership(wild, 12, counts, lengths=counts)
    p = gx.threshold_proposals(changed(CAS, (0, 1), NAN).cuda(), torch.tensor([NAN, 0.5]), counts)
    assert p.counts.min() >= 0
    assert p.counts.max() <= p.scores.shape[1]
    torch.cuda.synchronize()
