# SPDX-License-Identifier: Apache-2.0
"""Random problems for the checks of a GPU."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .gpu_guards import LAYOUTS

NUM_KINDS = 5
"""So many problems have one for each fast path, and one for none of them."""


class Case(NamedTuple):
    """Operands in float64 that every dtype they are for holds, the options of the call, and how the operands lie."""

    tensors: tuple[Tensor, Tensor, Tensor]
    options: dict[str, Any]
    layouts: tuple[str, str]
    """Of the input, and of the gradient of the output."""


def draw_cases(count: int, held_by: torch.dtype = torch.bfloat16) -> Iterator[Case]:
    """Draw ragged problems of such numbers: for each fast path in turn, then one for none of them; in every layout."""
    numbers = random.Random(4)
    kinds = (_cube, _strided, _image, _pointwise, _any)
    for number in range(count):
        options, kernel, (source, target) = kinds[number % NUM_KINDS](numbers)
        size = [numbers.randint(5, 10) for _ in range(4)]
        size[2] = numbers.randint(5, 40)  # several tiles, which are longest along D
        source, target = source * options["groups"], target * options["groups"]
        tensors = operands(number, (2, source, *size), (target, source // options["groups"], *kernel), held_by)
        layouts = LAYOUTS[number % len(LAYOUTS)], LAYOUTS[(number + 1) % len(LAYOUTS)]
        yield Case(tensors, options, layouts)


_Kind = tuple[dict[str, Any], list[int], tuple[int, int]]
"""Options, kernel, and channels of input and output in a group."""


def _eights(draw: random.Random) -> int:
    return 8 * draw.choice((1, 1, 2, 4))


def _options(draw: random.Random, stride: int = 1) -> dict[str, Any]:
    padding = [draw.choice((0, 1, 1, 2)) for _ in range(4)]
    return {"stride": [stride] * 4, "padding": padding, "dilation": [1] * 4, "groups": 1}


def _cube(draw: random.Random) -> _Kind:
    return _options(draw), [3] * 4, (_eights(draw), _eights(draw))


def _strided(draw: random.Random) -> _Kind:
    return _options(draw, 2), [3] * 4, (_eights(draw), _eights(draw))


def _image(draw: random.Random) -> _Kind:
    return _options(draw), [3] * 4, (1, _eights(draw))


def _pointwise(draw: random.Random) -> _Kind:
    return {**_options(draw), "padding": [0] * 4}, [1] * 4, (_eights(draw), draw.choice((2, 3, 8, 16)))


def _any(draw: random.Random) -> _Kind:
    options = _options(draw)
    options["stride"] = [draw.choice((1, 1, 2, 3)) for _ in range(4)]
    options["dilation"] = [draw.choice((1, 1, 2)) for _ in range(4)]
    options["groups"] = draw.choice((1, 1, 2))
    return options, [draw.choice((1, 2, 3)) for _ in range(4)], (draw.randint(1, 6), draw.randint(1, 6))


def operands(
    seed: int, size: tuple[int, ...], weight: tuple[int, ...], held_by: torch.dtype = torch.bfloat16
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw input, weight and bias in float64, of numbers that a dtype holds."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(held_by).double()

    return draw(*size), draw(*weight), draw(weight[0])
