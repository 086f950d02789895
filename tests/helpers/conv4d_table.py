# SPDX-License-Identifier: Apache-2.0
"""The table of problems: the named ones of ``conv4d_cases.py``, and a plan that combines every pair of settings.

The plan is drawn by a generator with a fixed seed, so it is the same in every run.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cardiac4d.ops.arguments import output_size
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.conv4d_cases import CASES

SETTINGS: dict[str, list[Any]] = {
    "kernel": [(3, 3, 3, 3), (1, 1, 1, 1), (2, 2, 2, 2), (2, 3, 1, 3), (3, 2, 3, 4), (1, 3, 2, 5), (3, 3, 3, 1)],
    "stride": [1, 2, (2, 1, 1, 2), (1, 2, 3, 1), (1, 1, 2, 3)],
    "padding": [1, 0, (1, 0, 2, 1), (2, 1, 0, 3)],
    "dilation": [1, 2, (1, 2, 1, 3), (2, 1, 3, 1)],
    "channels": [(4, 4, 1), (1, 4, 1), (3, 5, 1), (5, 9, 1), (8, 1, 1), (4, 6, 2), (3, 6, 3)],
    "size": [(5, 6, 4, 7), (6, 4, 5, 8), (7, 5, 3, 4), (4, 7, 6, 5), (9, 3, 4, 6)],
    "batch": [1, 2],
}
"""What the plan combines; ``channels`` are those of input and output, and the groups."""
NUM_DRAWN, SEED = 190, 356


def _drawn() -> Iterator[dict[str, Any]]:
    """Draw distinct problems; every fifth is a dense cube of stride 1, which networks are made of."""
    generator = random.Random(SEED)
    seen: set[str] = set()
    while len(seen) < NUM_DRAWN:
        first_of = ("kernel", "stride", "padding", "dilation") if len(seen) % 5 == 0 else ()
        choice = {
            name: values[0] if name in first_of else generator.choice(values) for name, values in SETTINGS.items()
        }
        source, target, groups = choice["channels"]
        case = {**choice, "channels": (source, target), "groups": groups}
        if min(_out(case)) > 0 and _name(case) not in seen:
            seen.add(_name(case))
            yield case


def _four(value: Any) -> list[int]:
    return [value] * 4 if isinstance(value, int) else list(value)


def _out(case: dict[str, Any]) -> list[int]:
    options = (_four(case.get(name, default)) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)))
    return output_size(list(case["size"]), list(case["kernel"]), *options)


def _name(case: dict[str, Any]) -> str:
    numbers = {name: "".join(map(str, _four(case[name]))) for name in ("kernel", "stride", "padding", "dilation")}
    source, target = case["channels"]
    shape = "x".join(map(str, (case["batch"], *case["size"])))
    return (
        "-".join(name[0] + value for name, value in numbers.items()) + f"-{source}to{target}g{case['groups']}-{shape}"
    )


TABLE: dict[str, dict[str, Any]] = {**CASES, **{_name(case): case for case in _drawn()}}


def is_truly_4d(case: dict[str, Any]) -> bool:
    """Tell that no 3D convolution computes it: several taps and several places in the output, on every axis."""
    return min(case["kernel"]) > 1 and min(_out(case)) > 1


def uncovered_pairs() -> set[tuple[str, str]]:
    """The pairs of settings that no problem combines, those aside that leave no output."""
    pairs = {
        (f"{a}={x}", f"{b}={y}")
        for (a, values), (b, others) in itertools.combinations(SETTINGS.items(), 2)
        for x, y in itertools.product(values, others)
    }
    for case in _drawn():
        channels = (*case["channels"], case["groups"])
        chosen = [f"{name}={channels if name == 'channels' else case[name]}" for name in SETTINGS]
        pairs -= set(itertools.combinations(chosen, 2))
    return pairs


class Expected(NamedTuple):
    """A problem of the table with what it must give, in float64."""

    operands: tuple[Tensor, Tensor, Tensor]
    seed: Tensor
    options: dict[str, Any]
    result: Tensor
    gradients: tuple[Tensor, ...]


@cache
def expected(name: str) -> Expected:
    """Compute a problem of the table once for all backends.

    The operands, and the seed of the gradients, are numbers that every dtype holds exactly (float16 all but the
    smallest), so that the same results are right for all.
    """
    case = dict(TABLE[name])
    size, kernel, (source, target) = case.pop("size"), case.pop("kernel"), case.pop("channels")
    batch, generator = case.pop("batch", 2), torch.Generator().manual_seed(len(name))

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).bfloat16().double()

    operands = draw(batch, source, *size), draw(target, source // case.get("groups", 1), *kernel), draw(target)
    leaves = [operand.clone().requires_grad_() for operand in operands]
    result = conv4d_reference(*leaves, **case)
    seed = draw(*result.shape)
    gradients = torch.autograd.grad(result, leaves, seed)
    return Expected(operands, seed, case, result.detach(), gradients)
