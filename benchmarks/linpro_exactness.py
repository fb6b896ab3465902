#!/usr/bin/env python3
"""How exact the native LinPro solver is: its objectives against HiGHS on the unreduced program.

Random and adversarial groups (nested, identical, chained, touching, across the borders, of one
snippet, up to --most instances), every formulation, prices, rows, constraint and term by turns.
HiGHS gets the program over snippets: no cells, no components, no closed forms.

  python benchmarks/linpro_exactness.py --groups 100000 --processes 2 --json exactness.json

With --copies N each instance is there N times, a share of its weight each: the same program, as a
component of many instances. Then only what takes the path (csrc/gaufuse/linpro_path.h) is measured.

  python benchmarks/linpro_exactness.py --groups 100000 --copies 40 --most 32 --processes 2
  python benchmarks/linpro_exactness.py --groups 1000000 --copies 40 --most 32 --beside simplex

The second has no HiGHS in it: the path beside the simplex of small components, a hundred times as
many groups in the same time.

With --large, instead, how fast components of so many instances are, beside HiGHS on the same cells:

  python benchmarks/linpro_exactness.py --large 100 1000 10000 --highs-up-to 3000
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Iterator

import numpy as np
import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse.utils.console import ProgressLine
from gaufuse.utils.files import write_json
from gaufuse_ext.linpro import highs
from gaufuse_ext.linpro.cells import Component
from gaufuse_ext.linpro.component import objective, residual, solve_component
from gaufuse_ext.linpro.group import Solution, solve_group
from gaufuse_ext.linpro.program import Optimum, Program
from gaufuse_ext.linpro.terms import RELEASED, LinproTerms
from gaufuse_ext.reference.interval_membership import interval_membership

SNIPPETS = 40
BATCH = 250
KINDS = ("random", "nested", "identical", "chained", "touching", "one snippet", "borders")
SPECIAL = (0.0, 1.0, 0.5, -0.3, 1.7)


def options_by_turns(only_paths: bool) -> Iterator[dict]:
    """Every combination of the choices, with weights of terms that rotate beside them; or of those
    that make a path."""
    weights = itertools.cycle([(0.1, 0.05, 1.0), (1.0, 0.1, 0.0), (1.0, 1.0, 0.3), (0.0, 2.0, 0.0)])
    others = itertools.cycle([(0.0, 1e-3), (0.2, 0.0), (2.0, 0.1)])
    for rows, prices, constraint in itertools.cycle(
        itertools.product(
            ("mean",) if only_paths else ("mean", "contrast_mean"),
            ("snippet", "instance"),
            ("elastic", "hard") if only_paths else ("elastic", "hard", "released"),
        )
    ):
        if constraint == "released":
            yield {"formulation": "released"}
            continue
        a, b, c = next(weights)
        v, g = next(others)
        v = 0.0 if only_paths else v
        yield {
            "rows": rows, "prices": prices, "constraint": constraint, "confidence_weight": a,
            "uniformity_weight": b, "anchor_weight": c, "variation_weight": v,
            "sparsity_weight": g,
        }  # fmt: skip


def draw_group(rng: np.random.Generator, kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) instances and (K,) confidences, rounded: whether a confidence of 1e-9 can be met is a
    matter of a solver's tolerance."""
    steps = np.arange(size)
    if kind == "random":
        starts = rng.integers(0, SNIPPETS, size)
        ends = starts + rng.integers(0, SNIPPETS, size)
    elif kind == "nested":
        half = rng.integers(1, SNIPPETS // 2, size)
        starts, ends = SNIPPETS // 2 - half, SNIPPETS // 2 + half
    elif kind == "identical":
        starts, ends = np.full(size, 10), np.full(size, 10 + rng.integers(1, 25))
    elif kind == "chained":
        starts, ends = steps * 3, steps * 3 + 5
    elif kind == "touching":
        starts, ends = steps * 3, steps * 3 + 3
    elif kind == "one snippet":
        starts = rng.integers(0, SNIPPETS, size)
        ends = starts + 1
    else:
        starts = rng.integers(-10, SNIPPETS + 5, size)
        ends = starts + rng.integers(1, 20, size)
    confidences = np.where(rng.random(size) < 0.3, rng.choice(SPECIAL, size), rng.random(size))
    return np.stack([starts, ends], axis=1).astype(np.float64), np.round(confidences, 4)


def unreduced(segments: np.ndarray, q: np.ndarray, w: np.ndarray, terms: LinproTerms) -> Component:
    """The group as one component with a cell for every snippet."""
    rows = interval_membership(segments, SNIPPETS, mode=terms.rows)
    inside = interval_membership(segments, SNIPPETS, mode="mean") > 0
    if not terms.all_instances:
        kept = inside.any(axis=1)
        rows, inside, q, w = rows[kept], inside[kept], q[kept], w[kept]
    if terms.rows == "contrast":
        inside = rows > 0
    return Component(np.arange(len(q)), q, w, np.arange(SNIPPETS), np.ones(SNIPPETS), rows, inside)


def terms_of(options: dict) -> LinproTerms:
    if options.get("formulation") == "released":
        return RELEASED
    weights = {"confidence": 0.08, "uniformity": 0.04, "anchor": 1.0, "variation": 0.0}
    weights["sparsity"] = 1e-3
    return LinproTerms(
        *(options.get(f"{name}_weight", weight) for name, weight in weights.items()),
        per_snippet=options.get("prices", "snippet") == "snippet",
        hard=options.get("constraint") == "hard",
        rows=options.get("rows", "mean"),
        all_instances=False,
    )  # fmt: skip


def draw_batch(seed: int, options: dict, most: int) -> tuple[np.ndarray, ...]:
    """Counts (G,), segments (G, N, 2), scores and weights (G, N)."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, BATCH)
    counts[::50] = most  # a large one now and then
    segments, scores = np.zeros((BATCH, most, 2)), np.zeros((BATCH, most))
    weights = rng.choice([1.0, 1.0, 0.25, 3.0], (BATCH, most)).round(4)
    for g, count in enumerate(counts):
        kind = KINDS[g % len(KINDS)]
        segments[g, :count], scores[g, :count] = draw_group(rng, kind, count)
    if options.get("formulation") == "released":
        weights[:] = 1.0
    return counts, segments, scores, weights


def solve_copies(counts, segments, scores, weights, copies: int, options: dict) -> gx.LinproLabels:
    return gx.linpro_labels(
        *(torch.from_numpy(np.repeat(x, copies, axis=1)) for x in (segments, scores)), SNIPPETS,
        (copies * counts).tolist(),
        weights=torch.from_numpy(np.repeat(weights / copies, copies, axis=1)), **options,
    )  # fmt: skip


def compare_solvers(job: tuple[int, dict, int, int]) -> dict:
    """One batch on its path, as copies, and by the simplex of small components, as it is."""
    seed, options, most, copies = job
    torch.set_num_threads(1)
    batch = draw_batch(seed, options, most)
    large, small = (solve_copies(*batch, times, options) for times in (copies, 1))
    off = (large.objective - small.objective).abs() / small.objective.abs().clamp(min=1.0)
    statuses = zip(large.status, small.status, strict=True)
    return {
        "objective": float(off.max()), "seed": seed, "group": int(off.argmax()),
        "residual": 0.0, "gap": float(large.gap.max()), "groups": BATCH,
        "highs": int(large.by_highs.sum() + small.by_highs.sum()),
        "relaxed": int(small.relaxed.sum()),
        "statuses": sum(one != other for one, other in statuses),
    }  # fmt: skip


def compare(job: tuple[int, dict, int, int]) -> dict:
    """One batch: the worst differences and what the native solver left."""
    seed, options, most, copies = job
    torch.set_num_threads(1)
    counts, segments, scores, weights = draw_batch(seed, options, most)
    found = solve_copies(counts, segments, scores, weights, copies, options)
    terms = terms_of(options)
    worst = {"objective": 0.0, "residual": 0.0, "gap": 0.0, "seed": seed, "group": -1}
    for g, count in enumerate(counts):
        component = unreduced(segments[g, :count], scores[g, :count], weights[g, :count], terms)
        if len(component.confidences) == 0:
            continue
        x, relaxed = solve_component(component, terms, highs.solve)
        expected = objective(component, terms, x)
        off = abs(float(found.objective[g]) - expected) / max(1.0, abs(expected))
        if off > worst["objective"]:
            worst["objective"], worst["group"] = off, g
        if relaxed:
            missed = np.abs((component.rows * component.lengths) @ x - component.confidences)
            own = found.labels[g].numpy()
            ours = np.abs((component.rows * component.lengths) @ own - component.confidences)
            gap = abs(float(component.weights @ (missed - ours)))
            worst["residual"] = max(worst["residual"], gap / max(1.0, residual(component, x)))
    native = [name == "native" for name in found.backend]
    worst["gap"] = float(found.gap[torch.tensor(native)].max()) if any(native) else 0.0
    return worst | {
        "groups": BATCH,
        "highs": BATCH - sum(native),
        "relaxed": sum(status == "relaxed" for status in found.status),
    }


LARGE_KINDS = {  # (K, rng) -> starts, ends
    "as after soft-NMS": lambda size, rng: (
        starts := np.sort(rng.integers(0, size, size)),
        starts + rng.integers(2, 20, size),
    ),
    "crossing, 50 deep": lambda size, rng: (
        starts := rng.integers(0, 3 * size, size),
        starts + rng.integers(1, 300, size),
    ),
    "nested in 30 levels": lambda size, rng: (
        starts := 64 * rng.integers(0, max(1, size // 30), size) + rng.integers(0, 32, size),
        starts + rng.integers(1, 33, size),
    ),
}
LARGE_WAYS = {
    "default": {},
    "a = b = 1, c = 0": {
        "confidence_weight": 1.0, "uniformity_weight": 1.0, "anchor_weight": 0.0,
    },
    "per instance": {
        "prices": "instance", "confidence_weight": 1.0, "uniformity_weight": 0.1,
        "anchor_weight": 0.0,
    },
    "hard": {"constraint": "hard"},
}  # fmt: skip


def time_large(sizes: list[int], highs_up_to: int, console: Console) -> list[dict]:
    """Processor time of one component, one thread, the least of several runs. HiGHS is timed alone,
    without the making of its program."""
    torch.set_num_threads(1)
    rows = []
    for size in sizes:
        for kind, draw in LARGE_KINDS.items():
            rng = np.random.default_rng(size)
            starts, ends = draw(size, rng)
            starts[0], ends[0] = starts.min(), ends.max()  # one component
            segments = torch.from_numpy(np.stack([starts, ends], axis=1).astype(np.float64))
            q, snippets = torch.from_numpy(rng.random(size)), int(ends.max())
            for way, options in LARGE_WAYS.items():
                times = []
                for _ in range(5 if size < 5000 else 3):
                    since = time.process_time()
                    found = gx.linpro_labels(segments, q, snippets, backend="native", **options)
                    times.append(time.process_time() - since)
                row = {"instances": size, "kind": kind, "way": way, "ms": 1e3 * min(times)}
                row |= {"gap": found.gap.item(), "pivots": found.pivots.item()}
                if size <= highs_up_to:
                    row |= beside_highs(segments, q, snippets, options, found)
                    row["ratio"] = row["highs_ms"] / row["ms"]
                rows.append(row)
                beside = ""
                if "ratio" in row:
                    beside = f"{row['ratio']:,.0f} x HiGHS ({row['highs_ms']:,.1f} ms), "
                    beside += f"objectives differ by {row['difference']:.0e}"
                console.print(
                    f"{size:>6,} {kind:<20} {way:<17} {row['ms']:8.2f} ms  gap {row['gap']:.0e}  "
                    f"{row['pivots']:>6,} pivots  {beside}",
                    soft_wrap=True,
                )
    return rows


def beside_highs(segments, q, snippets: int, options: dict, found: gx.LinproLabels) -> dict:
    spent = [0.0]

    def timed(program: Program) -> Optimum:
        since = time.thread_time()
        optimum = highs.solve(program)
        spent[0] += time.thread_time() - since
        return optimum

    def solve(_: int) -> Solution:
        weights = np.ones(len(q))
        return solve_group(segments.numpy(), q.numpy(), weights, snippets, terms_of(options), timed)

    (theirs,) = highs.map_on_own_threads(solve, [0], 1)
    difference = abs(found.objective.item() - theirs.objective) / max(1.0, abs(theirs.objective))
    return {"highs_ms": 1e3 * spent[0], "difference": difference}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=64, help="instances in the largest groups")
    parser.add_argument("--copies", type=int, default=1, help="of each instance")
    parser.add_argument("--beside", choices=("highs", "simplex"), default="highs")
    parser.add_argument("--large", type=int, nargs="+", metavar="INSTANCES")
    parser.add_argument("--highs-up-to", type=int, default=1000, metavar="INSTANCES")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    console, results = Console(), []
    if options.large:
        rows = time_large(options.large, options.highs_up_to, console)
        if options.json:
            write_json(options.json, {"components": rows})
        return
    comparison = compare if options.beside == "highs" else compare_solvers
    batches = max(1, round(options.groups / BATCH))
    jobs = [
        (options.seed * 1_000_003 + i, chosen, options.most, options.copies)
        for i, chosen in zip(range(batches), options_by_turns(options.copies > 1), strict=False)
    ]
    with (
        multiprocessing.get_context("spawn").Pool(options.processes) as pool,
        ProgressLine(console, "batches", batches) as line,
    ):
        for result in pool.imap_unordered(comparison, jobs):
            results.append(result)
            line.advance()
    report = {name: sum(r[name] for r in results) for name in ("groups", "highs", "relaxed")}
    report["statuses"] = sum(r.get("statuses", 0) for r in results)
    report |= {name: max(r[name] for r in results) for name in ("objective", "residual", "gap")}
    worst = max(results, key=lambda r: r["objective"])
    other = "HiGHS on the unreduced program" if options.beside == "highs" else "the simplex"
    console.print(
        f"{report['groups']:,} groups ({report['relaxed']:,} relaxed, {report['highs']:,} left to "
        f"HiGHS): objectives differ from {other} by at most {report['objective']:.1e} (relative, "
        f"or absolute below one; seed {worst['seed']}, group {worst['group']}), least residuals by "
        f"{report['residual']:.1e}, statuses in {report['statuses']}, largest dual gap "
        f"{report['gap']:.1e}",
        soft_wrap=True,
    )
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
