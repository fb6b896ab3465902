#!/usr/bin/env python3
"""How exact the native LinPro solver is: its objectives against HiGHS on the unreduced program.

Random and adversarial groups (nested, identical, chained, touching, across the borders, of one
snippet, up to --most instances), every formulation, prices, rows, constraint and term by turns.
HiGHS gets the program over snippets: no cells, no components, no closed forms.

  python benchmarks/linpro_exactness.py --groups 100000 --processes 2 --json exactness.json
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
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
from gaufuse_ext.linpro.terms import RELEASED, LinproTerms
from gaufuse_ext.reference.interval_membership import interval_membership

SNIPPETS = 40
BATCH = 250
KINDS = ("random", "nested", "identical", "chained", "touching", "one snippet", "borders")
SPECIAL = (0.0, 1.0, 0.5, -0.3, 1.7)


def options_by_turns() -> Iterator[dict]:
    """Every combination of the choices, with weights of terms that rotate beside them."""
    weights = itertools.cycle([(0.1, 0.05, 1.0), (1.0, 0.1, 0.0), (1.0, 1.0, 0.3), (0.0, 2.0, 0.0)])
    others = itertools.cycle([(0.0, 1e-3), (0.2, 0.0), (2.0, 0.1)])
    for rows, prices, constraint in itertools.cycle(
        itertools.product(
            ("mean", "contrast_mean"), ("snippet", "instance"), ("elastic", "hard", "released")
        )
    ):
        if constraint == "released":
            yield {"formulation": "released"}
            continue
        a, b, c = next(weights)
        v, g = next(others)
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
    return LinproTerms(
        *(options[f"{name}_weight"] for name in
          ("confidence", "uniformity", "anchor", "variation", "sparsity")),
        per_snippet=options["prices"] == "snippet",
        hard=options["constraint"] == "hard",
        rows=options["rows"],
        all_instances=False,
    )  # fmt: skip


def compare(job: tuple[int, dict, int]) -> dict:
    """One batch: the worst differences and what the native solver left."""
    seed, options, most = job
    torch.set_num_threads(1)
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
    found = gx.linpro_labels(
        *map(torch.from_numpy, (segments, scores)), SNIPPETS, counts.tolist(),
        weights=torch.from_numpy(weights), **options,
    )  # fmt: skip
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=64, help="instances in the largest groups")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    batches = max(1, round(options.groups / BATCH))
    jobs = [
        (options.seed * 1_000_003 + i, chosen, options.most)
        for i, chosen in zip(range(batches), options_by_turns(), strict=False)
    ]
    console, results = Console(), []
    with (
        multiprocessing.get_context("spawn").Pool(options.processes) as pool,
        ProgressLine(console, "batches", batches) as line,
    ):
        for result in pool.imap_unordered(compare, jobs):
            results.append(result)
            line.advance()
    report = {name: sum(r[name] for r in results) for name in ("groups", "highs", "relaxed")}
    report |= {name: max(r[name] for r in results) for name in ("objective", "residual", "gap")}
    worst = max(results, key=lambda r: r["objective"])
    console.print(
        f"{report['groups']:,} groups ({report['relaxed']:,} relaxed, {report['highs']:,} left to "
        f"HiGHS): objectives differ from HiGHS on the unreduced program by at most "
        f"{report['objective']:.1e} (relative, or absolute below one; seed {worst['seed']}, group "
        f"{worst['group']}), least residuals by {report['residual']:.1e}, largest dual gap "
        f"{report['gap']:.1e}",
        soft_wrap=True,
    )
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
