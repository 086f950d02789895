# SPDX-License-Identifier: Apache-2.0
"""Check the kernels for CUDA on a GPU, and time them: ``python scripts/gpu_check.py --json gpu.json --table gpu.md``.

Builds what is not built, with nvcc. Then, for ten minutes at most and in the order of importance: the operators'
checks; a training step and inference, and the step as a CUDA graph; real training steps with loading; a profile of a
step; every layer; cuDNN; NVIDIA's sanitizers; other precisions. A piece that breaks its process costs no other: a fresh
one goes on. Results are printed and written as they come, and both files are whole at any time. Needs torch with CUDA
and nothing else; with MONAI and Ignite the training steps load their crops as the bundle does.

Exit code 0: something was checked, and nothing failed; 1: something failed, no check ran, or nothing could be built;
2: there is no GPU, or the arguments were refused, and nothing was checked; 3: the time of ``--small`` was over (where
not even that could be said, the system ends it with SIGALRM, 142 in a shell). A run that had no time for some checks
can end with 0: it says ``incomplete``, and the JSON has ``"complete": false`` beside ``"passed"``.
``--dry_run`` tries all that a CPU can do, in tiny sizes: its numbers mean nothing.
"""

from __future__ import annotations

import time

START = time.time()  # before torch, which takes its time

import argparse  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402
from conv4d_benchmark import gpu_checks, gpu_worker  # noqa: E402
from conv4d_benchmark.gpu_arguments import minutes, output_file  # noqa: E402
from conv4d_benchmark.gpu_deadline import ended_after  # noqa: E402
from conv4d_benchmark.gpu_device import is_broken, is_cuda  # noqa: E402
from conv4d_benchmark.gpu_items import KINDS_OF_CHECKS, Scale  # noqa: E402
from conv4d_benchmark.gpu_report import Report  # noqa: E402

from cardiac4d.ops import backend_info  # noqa: E402

NO_GPU, FAILED = 2, 1
BUILT = "GPU_CHECK_STARTED"
"""When the process began that went on after a build: it does not build again."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check the kernels for CUDA on a GPU, and time them.")
    parser.add_argument("--json", type=output_file, help="where to write results and times")
    parser.add_argument("--table", type=output_file, help="where to write them as Markdown")
    parser.add_argument("--minutes", type=minutes, default=9.5, help="all ends by then; what is left out is named")
    parser.add_argument("--no_benchmark", action="store_true", help="check, but time nothing")
    parser.add_argument("--small", action="store_true", help="few small problems and nothing else, for a sanitizer")
    parser.add_argument("--dry_run", action="store_true", help="tiny sizes on the CPU, to try the script out")
    options = parser.parse_args(arguments)
    if options.json and options.json == options.table:
        parser.error(f"arguments --json and --table: both are {options.json}; name two files")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and time; returns the exit code."""
    options, device = parse(arguments), "cuda"
    if options.dry_run:
        device = "cpu"
    elif not torch.cuda.is_available():
        print(
            f"no GPU: torch {torch.__version__} finds no CUDA device. Nothing was checked.\n"
            "On a CPU, --dry_run tries the script out, in tiny sizes."
        )
        return NO_GPU
    elif backend_info()["cuda"] != "loaded":
        return build_and_go_on()
    end = float(os.environ.get(BUILT, START)) + 60 * options.minutes
    scale = Scale.tiny() if options.dry_run else Scale()
    report = Report(machine(device), options.json, options.table, scale.crop)
    if options.small:
        run_small(device, report, 60 * options.minutes)
    else:
        job = gpu_worker.Job(device, scale, end, not options.no_benchmark, str(Path(__file__).resolve()))
        gpu_worker.run(job, report)
    report.finish()
    print(summary(report))
    return 0 if report.passed else FAILED


def run_small(device: str, report: Report, seconds: float) -> None:
    """Run the small checks in this process, which ends after so long."""
    left = gpu_checks.small_checks()

    def say_goodbye() -> None:
        leave_out_rest()
        report.finish()
        print(f"the time is over: {seconds:.0f} s\n{summary(report)}")

    def leave_out_rest() -> None:
        for name in left:
            report.leave_out(f"{KINDS_OF_CHECKS[0]}{name}")

    with ended_after(seconds, say_goodbye):
        for name in list(left):
            report.add(("checks", gpu_checks.run(name, left[name], device)._asdict()))
            del left[name]
            if is_broken(device):
                break
    leave_out_rest()


def summary(report: Report) -> str:
    """What was found, in a few lines."""
    lines = [report.verdict()]
    if report.left_out:
        first, count = report.left_out[0], len(report.left_out)
        lines.append(f"no time was left for {count} pieces, from '{first}' on; the files name them")
    return "\n".join(lines + [f"written: {path}" for path in (report.json_file, report.table_file) if path])


def machine(device: str) -> dict[str, str]:
    """What the numbers belong to."""
    name = torch.cuda.get_device_name() if is_cuda(device) else "a dry run on the CPU: the numbers mean nothing"
    # Which of cuDNN's kernels torch uses for bfloat16 and TF32 in 3D depends on its version.
    versions = {"cuda_of_torch": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return {**backend_info(), "gpu": name, **versions}


def build_and_go_on() -> int:
    """Build the libraries and start again, since a process loads them once; returns the exit code."""
    if BUILT in os.environ:
        print(f"the kernels for CUDA are still {backend_info()['cuda']}", file=sys.stderr)
        return FAILED
    environment = {**os.environ, BUILT: str(START)}
    build = [sys.executable, "-m", "cardiac4d.ops.build"]
    if subprocess.run(build, env={**environment, "CARDIAC4D_CUDA": "1"}).returncode != 0:
        return FAILED
    return subprocess.run([sys.executable, *sys.argv], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
