# SPDX-License-Identifier: Apache-2.0
"""Time ``conv4d`` against a loop of conv3d over frames: ``python scripts/benchmark_conv4d.py``; prints a table."""

import time
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import conv3d

from cardiac4d import conv4d
from cardiac4d.command_line import run
from cardiac4d.ops import backend_info

LAYERS = {
    "first, 1 -> 8": (1, 8, 1),
    "level 0, 8 -> 8": (8, 8, 1),
    "level 1, 16 -> 16": (16, 16, 2),
    "level 2, 32 -> 32": (32, 32, 4),
}
"""Stride-1 layers of the network: channels in and out, and how many times its level is coarser than the input."""


def loop_over_frames(x: Tensor, weight: Tensor) -> Tensor:
    """Compute a 3x3x3x3 convolution with padding 1 as most published code does: frame by frame, tap by tap."""
    frames = x.unbind(-1)
    outputs = []
    for t in range(len(frames)):
        taps = [tap for tap in range(3) if 0 <= t + tap - 1 < len(frames)]
        outputs.append(reduce(torch.add, (conv3d(frames[t + tap - 1], weight[..., tap], padding=1) for tap in taps)))
    return torch.stack(outputs, -1)


def _best_ms(function: Callable[[], object], repeats: int) -> float:
    """Time the fastest of some runs, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def _time_layer(convolve: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, repeats: int) -> list[float]:
    """Time forward alone, and forward with backward."""
    with torch.no_grad():
        forward = _best_ms(lambda: convolve(x, weight), repeats)
    leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
    return [forward, _best_ms(lambda: torch.autograd.grad(convolve(*leaves).sum(), leaves), repeats)]


def _in_layout_of_backend(plain: Tensor) -> Tensor:
    """Spare the composed backend the conversion that a network does once, at its first layer."""
    if backend_info()["backend"] == "native":
        return plain
    return plain.permute(0, 5, 2, 3, 4, 1).contiguous().permute(0, 5, 2, 3, 4, 1)


def benchmark(size: tuple[int, int, int, int] = (48, 48, 32, 16), repeats: int = 3, threads: int = 2) -> None:
    """Print a table in milliseconds, the best of some runs, float32 on the CPU, each method in its own layout.

    Args:
        size: extent of the network's input, H, W, D, T.
        repeats: timed runs of each method.
        threads: of torch.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    info = backend_info()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {threads} threads, input {size}")
    print(f"conv4d: {info['backend']} backend, instruction set {info['instruction_set']}, {info['precision']}\n")
    print("| Layer | Loop, forward | conv4d, forward | Ratio | Loop, both | conv4d, both | Ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, (source, target, coarser) in LAYERS.items():
        extent = [max(1, axis // coarser) for axis in size]
        plain, weight = torch.randn(1, source, *extent), 0.1 * torch.randn(target, source, 3, 3, 3, 3)
        loop = _time_layer(loop_over_frames, plain, weight, repeats)
        ours = _time_layer(lambda x, w: conv4d(x, w, padding=1), _in_layout_of_backend(plain), weight, repeats)
        cells = [f"{a:.1f} | {b:.1f} | {a / b:.1f}" for a, b in zip(loop, ours, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run(benchmark)
