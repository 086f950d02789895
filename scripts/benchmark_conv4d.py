# SPDX-License-Identifier: Apache-2.0
"""Time ``conv4d`` and the network against pure PyTorch and published code: ``python scripts/benchmark_conv4d.py``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from conv4d_benchmark.environment import LIMITED, restart_tuned
from conv4d_benchmark.plan import PAPER_SIZE, SECTIONS, Plan

QUICK_SIZE = (48, 48, 32, 8)
QUICK_SECONDS = 0.5


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Benchmark the 4D convolution on this machine's CPU.")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer repetitions: no basis for a claim")
    parser.add_argument("--size", nargs=4, type=_positive(int), metavar=("H", "W", "D", "T"), help="network's input")
    parser.add_argument("--seconds", type=_positive(float), help="for the alternating repetitions of a row; default 6")
    parser.add_argument("--repetitions", type=_positive(int), default=5, help="of each method, if time allows")
    parser.add_argument("--threads", type=_positive(int), help="of torch; default: its own choice")
    parser.add_argument(
        "--isa", nargs="+", choices=tuple(LIMITED), default=(), help="measure again with all methods limited to it"
    )
    parser.add_argument("--levels_only", action="store_true", help="no other layers, published code or bfloat16")
    parser.add_argument("--output", type=Path, help="the Markdown page to write, such as docs/benchmarks.md")
    parser.add_argument("--json", type=Path, help="the same in JSON")
    parser.add_argument("--default_allocator", action="store_true", help="leave the allocator as it is")
    return parser.parse_args(arguments)


def _positive(kind: type[int] | type[float]) -> type[int] | type[float]:
    """Make a type of argument that admits nothing below 0 and no 0."""

    def read(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"must be positive, got {text}")
        return value

    read.__name__ = kind.__name__  # argparse names it when the text is no number at all
    return read  # type: ignore[return-value]


def plan(options: argparse.Namespace) -> Plan:
    """Turn the command line into what to run."""
    height, width, depth, frames = options.size or (QUICK_SIZE if options.quick else PAPER_SIZE)
    return Plan(
        size=(height, width, depth, frames),
        sections=options.sections,
        seconds=options.seconds or (QUICK_SECONDS if options.quick else Plan.seconds),
        repetitions=options.repetitions,
        limits=options.isa,
        levels_only=options.levels_only,
    )


def main() -> int:
    """Run the benchmark; returns the exit code."""
    options = parse()
    if not options.default_allocator:
        restart_tuned()  # before torch is imported, for this process may end here
    import torch
    from conv4d_benchmark.run import measure, write

    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        results = measure(plan(options), f"python {shlex.join(sys.argv)}")
    except RuntimeError as error:
        print(f"benchmark_conv4d: {error}", file=sys.stderr)
        return 1
    write(results, options.output, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
