"""The benchmarks run, write what they promise, and compare like with like. No time is asserted."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gaufuse_ext as gx
from gaufuse.benchmark import inputs, torch_versions
from gaufuse.benchmark.operations import NAMES, THRESHOLDS, GpuTarget, operations
from gaufuse.benchmark.runner import add_target, scaling
from gaufuse.benchmark.show import tables
from gaufuse.benchmark.timing import CpuTimer
from gaufuse.benchmark.versions import ScalarLoops, first_groups

CPU = torch.device("cpu")
NO_LOOPS = ScalarLoops(None)
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Without what the package depends on for its other parts: the machine with the GPU may lack it.
ONLY_TORCH = "import sys; sys.modules.update(dict.fromkeys(['rich', 'pydantic', 'tomli_w'])); "


@pytest.fixture
def bench() -> Callable[..., int]:
    """`gaufuse bench`, where what the command line needs is installed."""
    pytest.importorskip("rich")
    pytest.importorskip("pydantic")
    from gaufuse.cli.main import main

    return lambda *arguments: main(["bench", "--quick", *map(str, arguments)])


def check_report(report: dict, operation: str, device: str = "cpu") -> None:
    assert report["schema"] == 1
    assert report["device"] == device
    machine = report["machine"]
    assert machine["torch"] == torch.__version__
    assert machine["build"]["version"] == gx.__version__
    assert (machine["gpu"] is None) == (device == "cpu")
    assert all(entry["bytes_per_second"] > 0 for entry in report["bandwidth"])
    assert {result["operation"] for result in report["results"]} == {operation}
    for result in report["results"]:
        assert result["groups"] <= result["groups_in_use"]
        assert result["input_bytes"] > 0
        assert result["output_bytes"] > 0
        kernels = [m for m in result["measurements"] if m["version"] == "kernel"]
        assert [m["threads"] for m in kernels] == [e["threads"] for e in report["bandwidth"]]
        for kernel in kernels:
            assert kernel["seconds"] >= kernel["fastest"] > 0
            assert kernel["bandwidth_share"] > 0
            assert "reference" in kernel["ratios"]
            assert all(ratio > 0 for ratio in kernel["ratios"].values())


def run_script(*arguments: object) -> str:
    script = BENCHMARKS / "kernels.py"
    code = (
        f"{ONLY_TORCH} import runpy; sys.argv = {[str(script), *map(str, arguments)]!r}; "
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        # The script is not in the package, and imports it from wherever this test does.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return done.stdout


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks folder is not there")
def test_script(tmp_path):
    path = tmp_path / "kernels.json"
    printed = run_script("--quick", "--only", "nms", "--device", "cpu", "--json", path)
    report = json.loads(path.read_text())
    check_report(report, "nms")
    assert "1 group of 200" in printed
    assert ("scalar C++" in printed) == (shutil.which("g++") is not None)


@pytest.mark.gpu
@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks folder is not there")
@pytest.mark.parametrize("operation", NAMES)
def test_script_on_cuda(operation, tmp_path):
    path = tmp_path / "kernels.json"
    run_script("--quick", "--only", operation, "--device", "cuda", "--json", path)
    report = json.loads(path.read_text())
    check_report(report, operation, "cuda")
    assert all(result["peak_bytes"] >= result["output_bytes"] for result in report["results"])


def test_command(bench, tmp_path, capsys):
    path, plot = tmp_path / "kernels.json", tmp_path / "kernels.png"
    arguments = ["--only", "segment_iou", "--device", "cpu", "--threads", "2"]
    assert bench(*arguments, "--json", path) == 0
    check_report(json.loads(path.read_text()), "segment_iou")
    assert "segment_iou" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    assert bench(*arguments, "--plot", plot) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_operations_names_are_known_without_what_they_are_compared_with():
    assert [operation.name for operation in operations(NO_LOOPS)] == list(NAMES)
    # Of any command: half a second of imports, which only `gaufuse bench` is to take.
    code = "import sys; from gaufuse.cli.main import build_parser; build_parser(); "
    code += "assert not {'scipy', 'torchvision', 'matplotlib', 'bokeh'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bad_options(bench, tmp_path, capsys):
    for arguments, message in (
        (["--threads", "0"], "--threads must be at least 1"),
        (["--device", "tpu9"], "--device must be cpu, cuda or cuda:N"),
        (["--device", "meta"], "--device must be cpu, cuda or cuda:N"),
        (["--json", tmp_path / "absent" / "x.json"], "no such folder"),
        (["--scalar-loops", tmp_path / "absent.cpp"], "no such file"),
    ):
        assert bench(*arguments) == 2
        assert message in capsys.readouterr().err


@pytest.fixture
def scalar() -> ScalarLoops:
    source = BENCHMARKS / "scalar_loops.cpp"
    if shutil.which("g++") is None or not source.is_file():
        pytest.skip("no g++, or no benchmarks folder")
    return ScalarLoops(source)


def test_every_version_of_every_operation_runs(scalar):
    for operation in operations(scalar):
        case = min(operation.cases, key=lambda case: case.groups * case.size)
        x = case.build(2, CPU)
        operation.kernel(*x)
        for version in operation.versions.values():
            version.group_bytes(x)
            version.call(version.prepare(first_groups(x, 1)))
            version.call(version.prepare(x))


def test_inputs_of_every_case(scalar):
    for operation in operations(scalar):
        for case in operation.cases:
            tensors = [x for x in case.build(2, CPU) if isinstance(x, torch.Tensor)]
            assert all(len(x) == 2 and x.dtype == torch.float32 for x in tensors), case.name
            assert all(torch.isfinite(x).all() for x in tensors), case.name
            assert case.size in tensors[0].shape[1:2] or operation.name == "segment_voting"


def test_torch_iou():
    a, b = (inputs.detections(3, n, CPU)[0] for n in (40, 30))
    torch.testing.assert_close(torch_versions.segment_iou(a, b), gx.segment_iou(a, b))


@pytest.mark.parametrize("per_instance", [1, 40])
def test_torch_and_scalar_nms(per_instance, scalar):
    segments, scores = inputs.detections(3, 300, CPU, per_instance)
    expected = gx.nms(segments.double(), scores.double(), 0.5)
    assert torch.equal(torch_versions.nms(segments, scores, 0.5), expected)
    loops = scalar.nms(0.5)["scalar C++"]
    assert torch.equal(loops.call(loops.prepare((segments, scores))), expected)


def test_torch_and_scalar_soft_nms(scalar):
    segments, scores = inputs.detections(3, 200, CPU)
    loops = scalar.soft_nms(0.5, 0.001)["scalar C++"]
    index, decayed = torch_versions.soft_nms(segments, scores, 0.5, 0.001)
    expected, expected_scores = loops.call(loops.prepare((segments, scores)))
    # A segment that starts below the least score is seen only once another has been taken.
    assert torch.equal(index, expected)
    torch.testing.assert_close(decayed, expected_scores)
    kernel = gx.soft_nms(segments, scores, sigma=0.5, min_score=0.001)
    assert torch.equal(kernel.keep, expected)
    torch.testing.assert_close(kernel.scores, expected_scores)


def test_torch_membership():
    segments = inputs.instances(3, 20, 200, CPU)
    expected = gx.interval_membership(segments, 200)
    assert torch.equal(torch_versions.interval_membership(segments, 200), expected)


def test_torch_proposals():
    cas = inputs.activations(4, 300, CPU)
    group, *lists = torch_versions.threshold_proposals(cas, THRESHOLDS)
    counts, *padded = torch_versions.pad_groups(group, len(cas), *lists)
    expected = gx.threshold_proposals(cas, THRESHOLDS)
    assert torch.equal(counts, expected.counts)
    for found, wanted in zip(padded, expected[:3], strict=True):
        torch.testing.assert_close(found, wanted)


def test_torch_fusion():
    segments, scores = inputs.detections(4, 100, CPU)
    weights, counts = scores.flip(1), torch.tensor([100, 0, 1, 57])
    found = torch_versions.fuse_segments(segments, scores, weights, counts)
    expected = gx.fuse_segments(segments, scores, weights, counts)
    clusters = int(expected.counts.max())
    torch.testing.assert_close(found[0], expected.segments[:, :clusters], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found[1], expected.scores[:, :clusters])
    assert torch.equal(found[2], expected.counts)
    assert torch.equal(found[3], expected.assignment)


def test_a_call_slower_than_the_effort_is_timed_all_the_same():
    timing = CpuTimer().measure(lambda: sum(range(50_000)), seconds=0.0)
    assert timing.samples >= 3
    assert 0 < timing.fastest <= timing.seconds


def test_scaling_and_tables_of_a_made_up_report():
    def result(groups: int, seconds: float, **more) -> dict:
        kernel = {"version": "kernel", "threads": 1, "seconds": seconds, "fastest": seconds}
        kernel |= {"bytes_per_second": 1e9, "bandwidth_share": 0.25, "ratios": {"torch": 340.4}}
        torch_version = {"version": "torch", "threads": 1, "seconds": 1.0, "extrapolated": True}
        skipped = {"version": "reference", "threads": 1, "skipped": "one group needs about 9 GiB"}
        return {
            "operation": "nms",
            "case": f"{groups} groups",
            "series": "N 8",
            "groups": groups,
            "groups_in_use": 400,
            "size": 8,
            "unit": "segments",
            "measurements": [kernel, torch_version, skipped],
        } | more

    results = [result(4, 1e-3), result(400, 0.11)]
    add_target(results[0], GpuTarget(seconds=0.09))  # 0.1 s for the 400 groups in use
    add_target(results[1], GpuTarget(bandwidth_share=0.2))
    assert [r["gpu_target"]["reached"] for r in results] == [False, True]
    grown = scaling(results)
    assert [entry["groups"] for entry in grown] == [[4, 400]]
    assert math.isclose(grown[0]["time_over_linear"], 1.1)
    machine = {"cpu": "x", "cores": 2, "gpu": None, "torch": "2", "build": {"compiler": "c"}}
    report = {"device": "cpu", "machine": machine, "results": results, "scaling": grown}
    rates = {"threads": 1, "bytes_per_second": 2e10, "new_memory_bytes_per_second": 2e9}
    text = tables(report | {"bandwidth": [rates]})
    for part in ("~340x", "(here 4 groups)", "110 ms", "1.10 of linear", "no reference: one group"):
        assert part in text
    assert "4 groups: target at most 90 ms: MISSED" in text
    assert "400 groups: target at least 20% of copy: reached" in text


def test_the_roofline_s_table():
    """Bytes by hand: 10,000 groups of 200 segments, 16 bytes in and 24 out each."""
    script = BENCHMARKS / "roofline.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    assert len(rows) == 2 + 8, done.stderr
    assert {len(row) for row in rows} == {12}
    assert rows[2][1:3] == ["fuse_segments, 10,000 groups of 200", "80.0 MB"]
    memory, floor = (float(rows[2][column].split()[0]) for column in (6, 7))
    assert memory == pytest.approx(80e6 / 3.35e12 * 1e3, rel=0.05)
    assert floor >= memory
