# SPDX-License-Identifier: Apache-2.0
"""Check the kernels for CUDA on a GPU, and time them: ``python scripts/gpu_check.py --json gpu.json --table gpu.md``.

Builds what is not built, with nvcc. Then, as long as ten minutes last: the operators' checks; real training steps with
loading; a training step as a CUDA graph; the whole network against cuDNN and the floor, inference and training step;
every layer by itself; NVIDIA's sanitizers. Results are written as they come. Needs torch with CUDA and nothing else;
with MONAI and Ignite the training steps load their crops as the bundle does.

Exit code 0: all checks passed; 1: one failed, or nothing could be built; 2: there is no GPU, and nothing was checked.
``--dry_run`` tries all that is timed on a CPU, in tiny sizes: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from conv4d_benchmark import gpu_checks
from conv4d_benchmark.gpu_report import Report
from conv4d_benchmark.gpu_sections import Scale, sections

from cardiac4d.ops import backend_info

NO_GPU, FAILED = 2, 1
BUILT = "GPU_CHECK_STARTED"
"""When the process began that went on after a build: it does not build again."""
SANITIZER_S = 90.0
"""For one sanitizer at most: on some machines they take long to start."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check the kernels for CUDA on a GPU, and time them.")
    parser.add_argument("--json", type=Path, help="where to write results and times")
    parser.add_argument("--table", type=Path, help="where to write them as Markdown")
    parser.add_argument("--minutes", type=float, default=9.5, help="no part starts later than this")
    parser.add_argument("--no_benchmark", action="store_true", help="check, but time nothing")
    parser.add_argument("--small", action="store_true", help="few small problems and nothing else, for a sanitizer")
    parser.add_argument("--dry_run", action="store_true", help="time tiny sizes on the CPU, to try the script out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and time; returns the exit code."""
    options, device = parse(arguments), "cuda"
    if options.dry_run:
        device = "cpu"
    elif not torch.cuda.is_available():
        print(f"no GPU: torch {torch.__version__} finds no CUDA device. Nothing was checked.")
        return NO_GPU
    elif backend_info()["cuda"] != "loaded":
        return build_and_go_on()
    end = float(os.environ.get(BUILT, time.time())) + 60 * options.minutes
    report = Report(machine(device), options.json, options.table)
    if device == "cuda":
        report.check(gpu_checks.run_all(device, small=options.small))
    if not (options.small or options.no_benchmark):
        report.run(sections(device, Scale.tiny() if options.dry_run else Scale(), end), end)
    if device == "cuda" and not options.small:
        report.check(gpu_checks.run_sanitizers(__file__, min(SANITIZER_S, (end - time.time()) / 2)))
    return 0 if report.passed else FAILED


def machine(device: str) -> dict[str, str]:
    """What the numbers belong to."""
    name = torch.cuda.get_device_name() if device == "cuda" else "a dry run on the CPU: the numbers mean nothing"
    # Which of cuDNN's kernels torch uses for bfloat16 and TF32 in 3D depends on its version.
    versions = {"cuda_of_torch": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return {**backend_info(), "gpu": name, **versions}


def build_and_go_on() -> int:
    """Build the libraries and start again, since a process loads them once; returns the exit code."""
    if BUILT in os.environ:
        print(f"the kernels for CUDA are still {backend_info()['cuda']}", file=sys.stderr)
        return FAILED
    environment = {**os.environ, BUILT: str(time.time())}
    build = [sys.executable, "-m", "cardiac4d.ops.build"]
    if subprocess.run(build, env={**environment, "CARDIAC4D_CUDA": "1"}).returncode != 0:
        return FAILED
    return subprocess.run([sys.executable, *sys.argv], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
