#!/usr/bin/env bash
# On a machine with a GPU: build with CUDA, run the GPU tests, compute-sanitizer in its four modes and
# the kernel benchmarks. Logs and JSON go to the folder given. Uses no network: PYTHON must already
# have what is imported below (torch with CUDA), and cmake, ninja and nvcc must be on the PATH.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:?usage: gpu_check.sh OUT}" && cd "$1" && pwd)
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
failed=0
"$python" -c 'import torch, numpy, highspy, pybind11, pydantic, rich, safetensors, tomli_w
import pytest, pytest_timeout, hypothesis, scipy' || exit 2

step() { # name, command...: logs to OUT/name.log and goes on after a failure
  local name=$1
  shift
  echo "== $name"
  "$@" >"$out/$name.log" 2>&1 || {
    failed=1
    echo "   failed: $name.log"
  }
  tail -n 3 "$out/$name.log"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/device.txt"
# The machine's own architecture only: the build is for this check.
arch=$("$python" -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
step build env GAUFUSE_CUDA=ON TORCH_CUDA_ARCH_LIST="$arch" \
  "$python" -m pip install --no-index --no-build-isolation --no-deps --target "$site" .
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
step tests "$python" -P -m pytest -m gpu tests -p no:cacheprovider
for tool in memcheck racecheck initcheck synccheck; do
  step "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
    "$python" -P tests/sanitizer_workload.py
done
step benchmarks "$python" -P benchmarks/kernels.py --json "$out/kernels.json"
cp -r benchmarks "$site"
step training "$python" -P -m benchmarks.training --device cuda --json "$out/training.json" \
  --only literal step bf16 compile mixed memory labels
exit $failed
