# SPDX-License-Identifier: Apache-2.0
"""Check the kernels for CUDA on a GPU, and time them: ``python scripts/gpu_check.py --json gpu.json``.

Builds what is not built, with nvcc. Needs torch with CUDA and nothing else. Exit code 0: all checks passed; 1: one
failed, or nothing could be built; 2: there is no GPU, and nothing was checked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from conv4d_benchmark import gpu_checks, gpu_layers
from conv4d_benchmark.gpu_checks import Outcome

from cardiac4d.ops import backend_info

NO_GPU, FAILED = 2, 1
BUILT = "GPU_CHECK_BUILT"
"""Set for the process that goes on after a build: it does not build again."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check the kernels for CUDA on a GPU, and time them.")
    parser.add_argument("--json", type=Path, help="where to write results and times")
    parser.add_argument("--no_benchmark", action="store_true", help="check, but time nothing")
    parser.add_argument("--small", action="store_true", help="few small problems and nothing else, for a sanitizer")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and time; returns the exit code."""
    options = parse(arguments)
    if not torch.cuda.is_available():
        print(f"no GPU: torch {torch.__version__} finds no CUDA device. Nothing was checked.")
        return NO_GPU
    if backend_info()["cuda"] != "loaded":
        return build_and_go_on()
    machine = {**backend_info(), "gpu": torch.cuda.get_device_name(), "cuda_of_torch": str(torch.version.cuda)}
    print("\n".join(f"{name:20}{value}" for name, value in machine.items()))
    outcomes = check(options.small)
    rows = []
    if all(outcome.passed for outcome in outcomes) and not (options.small or options.no_benchmark):
        rows = list(gpu_layers.measure("cuda"))
        print(gpu_layers.to_table(rows))
    if options.json:
        content = {"machine": machine, "checks": [o._asdict() for o in outcomes], "layers": [vars(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if all(outcome.passed for outcome in outcomes) else FAILED


def check(small: bool) -> list[Outcome]:
    """Run the checks, and say what each found as soon as it is there."""
    outcomes = []
    sanitizers = () if small else gpu_checks.run_sanitizers(__file__)
    for found in (gpu_checks.run_all("cuda", small=small), sanitizers):
        for outcome in found:
            print(f"{'passed' if outcome.passed else 'FAILED':8}{outcome.name}: {outcome.detail}", flush=True)
            outcomes.append(outcome)
    return outcomes


def build_and_go_on() -> int:
    """Build the libraries and start again, since a process loads them once; returns the exit code."""
    if BUILT in os.environ:
        print(f"the kernels for CUDA are still {backend_info()['cuda']}", file=sys.stderr)
        return FAILED
    build = [sys.executable, "-m", "cardiac4d.ops.build"]
    if subprocess.run(build, env={**os.environ, "CARDIAC4D_CUDA": "1"}).returncode != 0:
        return FAILED
    return subprocess.run([sys.executable, *sys.argv], env={**os.environ, BUILT: "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
