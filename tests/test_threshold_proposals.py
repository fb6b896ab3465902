"""gx.threshold_proposals against its reference, and what its header promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gaufuse_ext as gx
from gaufuse_ext.reference.threshold_proposals import threshold_proposals as reference
from group_inputs import DTYPES, SIZES

pytestmark = pytest.mark.emulation

OUTPUTS = ("segments", "scores", "weights", "counts")
THRESHOLDS = np.arange(0.001, 0.04, 0.002)
# Activations around the thresholds that tests use: ties in float32, in float64, and one step off.
LEVELS = [
    0.0,
    -0.0,
    1e-42,
    0.1,
    float(np.float32(0.1)),
    0.25,
    np.nextafter(0.25, 1),
    0.5,
    0.9,
    -1.0,
]


def assert_same(a: gx.Proposals, b: gx.Proposals) -> None:
    """Equal to the bit."""
    for name in OUTPUTS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def check_against_reference(cas: torch.Tensor, thresholds, lengths=None, **options) -> None:
    p = gx.threshold_proposals(cas, thresholds, lengths, **options)
    dtype = cas.dtype if cas.dtype in DTYPES else torch.float32
    levels = np.asarray(torch.as_tensor(thresholds, dtype=torch.float64).cpu())
    # Means come from prefix sums: their error grows with the sums, not with the means.
    size = cas.nan_to_num().abs().amax().item() if cas.numel() else 0.0
    units = 1.0 if dtype == torch.float32 else 4.0 * cas.shape[1]
    info = torch.finfo(dtype)
    atol = 2.0 * units * info.eps * (size + info.smallest_normal)  # denormals have a step of theirs
    capacity = p.scores.shape[1]
    for g in range(len(cas)):
        length = cas.shape[1] if lengths is None else int(lengths[g])
        own = levels[g] if levels.ndim == 2 else levels
        expected = reference(cas[g, :length].cpu().double().numpy(), own, **options)
        n = len(expected)
        assert p.counts[g] == n
        assert capacity >= n
        assert p.segments.dtype == p.scores.dtype == p.weights.dtype == dtype
        np.testing.assert_array_equal(p.segments[g, :n].cpu(), expected[:, :2])
        np.testing.assert_allclose(p.scores[g, :n].cpu(), expected[:, 2], rtol=0, atol=atol)
        np.testing.assert_allclose(p.weights[g, :n].cpu(), expected[:, 3], rtol=0, atol=atol)
        assert not p.segments[g, n:].any()
        assert not p.scores[g, n:].any()
        assert not p.weights[g, n:].any()


def sequences(num_snippets: int, dtype: torch.dtype) -> torch.Tensor:
    """One sequence of each kind: (G, T)."""
    rng = np.random.default_rng(num_snippets)
    t = np.arange(num_snippets)
    kinds = [
        np.ones(num_snippets),
        np.zeros(num_snippets),
        t % 2.0,
        (t % 32 != 31).astype(float),  # runs that end with a warp's or a word's last snippet
        (t % 64 != 0).astype(float),
        (t >= num_snippets - 2).astype(float),  # a shortest run at the very end
        (t < 2).astype(float),
        (t >= num_snippets - 1).astype(float),  # one snippet too few
        rng.uniform(0.0, 0.05, num_snippets),
        rng.choice(LEVELS, num_snippets),
        np.repeat(rng.choice(LEVELS, num_snippets // 5 + 1), 5)[:num_snippets],
        rng.integers(0, 9, num_snippets) * torch.finfo(torch.float32).smallest_normal / 8.0,
        rng.normal(0.0, 1e3, num_snippets),
    ]
    return torch.from_numpy(np.stack(kinds)).to(dtype)


@pytest.mark.emulation(False)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_snippets", SIZES)
def test_matches_reference_at_sizes(device, dtype, num_snippets):
    cas = sequences(num_snippets, dtype).to(device)
    tiny = torch.finfo(torch.float32).smallest_normal
    check_against_reference(cas, [0.0, tiny / 4, 0.01, 0.03, 0.5])
    lengths = torch.arange(len(cas)) * num_snippets // max(1, len(cas) - 1)
    check_against_reference(cas, [0.25, 0.0, -1.0], lengths.to(device), min_length=1)


levels = st.sampled_from([-0.5, 0.0, 1e-42, 0.1, 0.25, 0.5, float(np.float32(0.1))])


@given(
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    num_snippets=st.integers(0, 12),
    min_length=st.integers(1, 4),
    margin=st.sampled_from([0.0, 0.0785, 0.25, 2.0, 1e30]),
    margin_power=st.sampled_from([0.0, 0.9, 1.0]),
    ragged=st.booleans(),
)
def test_matches_reference(
    device, data, dtype, num_snippets, min_length, margin, margin_power, ragged
):
    row = st.lists(st.sampled_from(LEVELS), min_size=num_snippets, max_size=num_snippets)
    rows = data.draw(st.lists(row, min_size=1, max_size=3))
    thresholds = data.draw(st.lists(levels, max_size=4))
    lengths = None
    if ragged:
        size = st.integers(0, num_snippets)
        lengths = data.draw(st.lists(size, min_size=len(rows), max_size=len(rows)))
    check_against_reference(
        torch.tensor(rows, dtype=dtype, device=device).reshape(len(rows), num_snippets),
        thresholds,
        lengths,
        min_length=min_length,
        margin=margin,
        margin_power=margin_power,
    )


@given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_thresholds_of_each_group(device, data, dtype):
    rows = data.draw(
        st.lists(st.lists(st.sampled_from(LEVELS), min_size=9, max_size=9), max_size=3)
    )
    pairs = st.lists(st.tuples(levels, levels), min_size=len(rows), max_size=len(rows))
    thresholds = torch.tensor(data.draw(pairs), dtype=torch.float64).reshape(len(rows), 2)
    cas = torch.tensor(rows, dtype=dtype, device=device).reshape(len(rows), 9)
    check_against_reference(cas, thresholds.to(device))


def test_by_hand(device):
    """The run [2, 5): inner is the mean of snippets 2..5; the ring, which reaches 1.5, holds 0, 1
    (int(2 - 1.5) = 0) and 6 (int(5 + 1.5 + 1) = 7)."""
    cas = torch.tensor([9.0, 1.0, 4.0, 4.0, 4.0, 1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    p = gx.threshold_proposals(cas.to(device), [2.0], margin=0.5, margin_power=1.0)
    assert p.segments[: p.counts].tolist() == [[2.0, 6.0]]  # snippet 0 alone is too short
    assert p.weights[0].item() == 13 / 4
    assert p.scores[0].item() == pytest.approx(13 / 4 - 11 / 3, rel=1e-15)


def test_proposals_come_by_threshold_then_by_time(device):
    cas = torch.tensor([1.0, 1.0, 0.0, 2.0, 2.0, 0.0, 1.0, 1.0], device=device)
    p = gx.threshold_proposals(cas, [1.5, 0.5])
    assert p.counts.item() == 4
    assert p.segments[:4, 0].tolist() == [3.0, 0.0, 3.0, 6.0]


def test_compares_in_double(device):
    """float32's 0.1 is above 0.1, float64's is not: a threshold is not rounded to the dtype."""
    for dtype, expected in ((torch.float32, 1), (torch.float64, 0)):
        cas = torch.full((8,), 0.1, dtype=dtype, device=device)
        assert gx.threshold_proposals(cas, [0.1]).counts.item() == expected
    rounded = float(np.float32(0.1))
    cas = torch.full((8,), 0.1, device=device)
    assert gx.threshold_proposals(cas, [rounded]).counts.item() == 0
    assert gx.threshold_proposals(cas, [np.nextafter(rounded, 0)]).counts.item() == 1


def test_thresholds_beyond_the_dtype(device):
    cas = torch.tensor([[3e38, 3e38, 3e38], [-3e38, -3e38, -3e38]], device=device)
    assert gx.threshold_proposals(cas, [1e300]).counts.tolist() == [0, 0]
    assert gx.threshold_proposals(cas, [-1e300]).counts.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_thresholds_as_list_array_or_tensor(device, dtype):
    cas = sequences(129, torch.float32).to(device)
    exact = torch.tensor(THRESHOLDS, dtype=dtype)
    expected = gx.threshold_proposals(cas, exact.double().tolist())
    assert expected.counts.max() > 20
    assert_same(gx.threshold_proposals(cas, exact), expected)
    assert_same(gx.threshold_proposals(cas, exact.to(device)), expected)
    assert_same(gx.threshold_proposals(cas, exact.double().numpy()), expected)
    assert_same(gx.threshold_proposals(cas, exact.expand(len(cas), -1)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(device, dtype):
    cas = sequences(65, torch.float32).clamp(-1.0, 1.0).to(device, dtype)
    p = gx.threshold_proposals(cas, THRESHOLDS)
    assert p.scores.dtype == torch.float32
    assert_same(p, gx.threshold_proposals(cas.float(), THRESHOLDS))
    check_against_reference(cas, THRESHOLDS)


def test_nothing_is_dropped_by_default(device):
    """The worst case: as many runs as fit, at every threshold."""
    for min_length in (1, 2, 3):
        for num_snippets in (5, 6, 7, 8, 64, 65):
            t = torch.arange(num_snippets, device=device)
            cas = (t % (min_length + 1) < min_length).float()[None]
            check_against_reference(cas, [0.5, 0.2, 0.1], min_length=min_length)


@pytest.mark.parametrize("room", [0, 1, 5, 20, 4000])
def test_too_little_room_drops_the_last_proposals(device, room):
    cas = sequences(129, torch.float32).to(device)
    full = gx.threshold_proposals(cas, THRESHOLDS)
    p = gx.threshold_proposals(cas, THRESHOLDS, max_proposals=room)
    assert p.scores.shape == (len(cas), room)
    assert torch.equal(p.counts, full.counts.clamp(max=room))
    kept = min(room, full.scores.shape[1])
    for name in ("segments", "scores", "weights"):
        assert torch.equal(getattr(p, name)[:, :kept], getattr(full, name)[:, :kept])
        assert not getattr(p, name)[:, kept:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_snippets", SIZES)
def test_counts_are_those_of_all_proposals(device, dtype, num_snippets):
    cas = sequences(num_snippets, dtype).to(device)
    lengths = torch.arange(len(cas), device=device) * num_snippets // max(1, len(cas) - 1)
    per_group = torch.rand(len(cas), 7, generator=torch.Generator().manual_seed(0)).to(device)
    for thresholds in (THRESHOLDS, per_group, []):
        for own in (None, lengths):
            for min_length in (1, 2, 4):
                options = {"min_length": min_length}
                counts = gx.count_proposals(cas, thresholds, own, **options)
                p = gx.threshold_proposals(cas, thresholds, own, **options)
                assert torch.equal(counts, p.counts)


def test_counts_by_hand(device):
    """Runs above 0.5: [0, 2), [3, 4), [5, 8); above 0.8: [5, 7)."""
    cas = torch.tensor([0.6, 0.7, 0.5, 0.9, 0.2, 0.9, 0.9, 0.6], device=device)
    assert gx.count_proposals(cas, [0.5, 0.8]).item() == 3
    assert gx.count_proposals(cas, [0.5, 0.8], min_length=1).item() == 5
    assert gx.count_proposals(cas, [0.5, 0.8], 4, min_length=1).item() == 3
    dropped = gx.threshold_proposals(cas, [0.5, 0.8], max_proposals=2)
    assert dropped.counts < gx.count_proposals(cas, [0.5, 0.8])


def test_counts_refuse_what_proposals_refuse():
    cas = torch.tensor([[0.5, 0.5], [0.5, torch.nan]])
    with pytest.raises(ValueError, match=r"^cas must be finite, got nan at \[1, 1\]"):
        gx.count_proposals(cas, [0.4])
    with pytest.raises(ValueError, match="min_length must be at least 1"):
        gx.count_proposals(cas, [0.4], min_length=0)


@pytest.mark.gpu
def test_room_on_cuda_is_counted_where_the_worst_case_is_large(monkeypatch):
    cas = sequences(129, torch.float32).cuda()
    roomy = gx.threshold_proposals(cas, THRESHOLDS)
    assert roomy.scores.shape[1] == len(THRESHOLDS) * (130 // 3)
    monkeypatch.setattr("gaufuse_ext.ops.threshold_proposals.UNCOUNTED_BYTES", 0)
    tight = gx.threshold_proposals(cas, THRESHOLDS)
    assert tight.scores.shape[1] == int(roomy.counts.max())
    room = tight.scores.shape[1]
    assert torch.equal(tight.segments, roomy.segments[:, :room])


def test_padding_is_never_read(device):
    cas = sequences(129, torch.float32).to(device)
    lengths = torch.arange(len(cas), device=device) * 10
    past = torch.arange(129, device=device) >= lengths[:, None]
    p = gx.threshold_proposals(cas.masked_fill(past, torch.nan), THRESHOLDS, lengths)
    assert_same(p, gx.threshold_proposals(cas.masked_fill(past, 1e30), THRESHOLDS, lengths))


@pytest.mark.parametrize("lengths", [None, 40, [40], torch.tensor([40])])
def test_unbatched_equals_a_batch_of_one(device, lengths):
    cas = sequences(65, torch.float32)[8].to(device)
    if isinstance(lengths, torch.Tensor):
        lengths = lengths.to(device)
    alone = gx.threshold_proposals(cas, THRESHOLDS, lengths)
    assert alone.counts.shape == ()
    batched = gx.threshold_proposals(cas[None], THRESHOLDS, lengths)
    assert_same(gx.Proposals(*(x.unsqueeze(0) for x in alone)), batched)


def test_non_contiguous_input(device):
    cas = sequences(65, torch.float32).to(device)
    thresholds = torch.tensor(THRESHOLDS).repeat_interleave(2)[::2]
    assert not thresholds.is_contiguous()
    p = gx.threshold_proposals(cas.t().contiguous().t(), thresholds)
    assert_same(p, gx.threshold_proposals(cas, THRESHOLDS))


@pytest.mark.parametrize(("groups", "t", "h"), [(0, 9, 3), (2, 0, 3), (2, 9, 0)])
def test_empty(device, groups, t, h):
    p = gx.threshold_proposals(torch.ones(groups, t, device=device), [0.5] * h)
    assert p.counts.tolist() == [0] * groups
    assert p.segments.shape[0] == groups
    assert not p.segments.any()


def test_same_bits_for_every_number_of_threads(device, set_threads):
    cas = sequences(1025, torch.float32).repeat(8, 1).to(device)
    set_threads(1)
    alone = gx.threshold_proposals(cas, THRESHOLDS)
    set_threads(2)
    assert_same(gx.threshold_proposals(cas, THRESHOLDS), alone)
