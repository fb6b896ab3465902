"""Runs the fuzzers of tests/native for a number of inputs each, and keeps count.

    python tests/native/fuzz.py BUILD --inputs 100000 [--only nms ...] [--record FILE.jsonl]

BUILD is CMake's folder. With libFuzzer's harnesses inputs grow from a small corpus of seeds, which
is made here and kept, with what the fuzzer found new, in BUILD/corpus; the others draw random
inputs. A finding ends the run, and its input lies in BUILD/findings.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

SEEDS = 64
LONGEST = 256  # bytes; what an input needs beyond is drawn by the harness
SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--inputs", type=int, default=20_000, help="of each harness")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="harnesses, such as nms")
    parser.add_argument("--record", type=Path, help="append what was run to this file")
    options = parser.parse_args()
    cache = (options.build / "CMakeCache.txt").read_text()
    harnesses = sorted((options.build / "tests/native").glob("fuzz_*"))
    harnesses = [path for path in harnesses if os.access(path, os.X_OK)]
    if options.only:
        harnesses = [p for p in harnesses if p.name.removeprefix("fuzz_") in options.only]
    if not harnesses:
        parser.error(f"{options.build} has no such fuzzers; build with -DGAUFUSE_NATIVE_TESTS=ON")
    for path in harnesses:
        record = run(path.resolve(), options, cache)
        print(f"{record['harness']}: {record['inputs']:,} inputs in {record['seconds']:.0f} s")
        if options.record:
            with options.record.open("a") as file:
                file.write(json.dumps(record) + "\n")
        if record["findings"]:
            return 1
    return 0


def run(path: Path, options: argparse.Namespace, cache: str) -> dict:
    name = path.name.removeprefix("fuzz_")
    findings = options.build / "findings"
    findings.mkdir(exist_ok=True)
    guided = "GAUFUSE_LIBFUZZER:BOOL=ON" in cache
    if guided:
        corpus = options.build.resolve() / "corpus" / name
        write_seeds(corpus, name)
        command = [path, f"-runs={options.inputs}", f"-seed={options.seed}", f"-max_len={LONGEST}",
                   "-print_final_stats=1", f"-artifact_prefix={name}-", corpus]  # fmt: skip
    else:
        command = [path, str(options.inputs), str(options.seed)]
    start = time.monotonic()
    done = subprocess.run(
        command, cwd=findings, env=os.environ | SANITIZERS, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    count = re.search(r"number_of_executed_units: (\d+)|: (\d+) inputs", done.stdout + done.stderr)
    return {
        "harness": name,
        "inputs": int(count[1] or count[2]) if count else 0,
        "findings": int(done.returncode != 0),
        "seconds": round(time.monotonic() - start, 1),
        "engine": "libFuzzer" if guided else "random inputs",
        "sanitizers": setting(cache, "GAUFUSE_SANITIZE"),
        "compiler": Path(setting(cache, "CMAKE_CXX_COMPILER")).name,
        "seed": options.seed,
    }


def setting(cache: str, name: str) -> str:
    found = re.search(rf"^{name}:\w+=(.*)$", cache, re.MULTILINE)
    return found[1] if found else ""


def write_seeds(folder: Path, name: str) -> None:
    """Inputs of all lengths; the same for the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(name)
    for number in range(SEEDS):
        length = number if number < 16 else rng.randrange(16, LONGEST)
        (folder / f"seed-{number:02d}").write_bytes(rng.randbytes(length))


if __name__ == "__main__":
    sys.exit(main())
