# SPDX-License-Identifier: Apache-2.0
"""The three formulations of the composed backend, and which one runs when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cardiac4d.ops import composed, conv4d, use_backend
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.conv4d_cases import CASES, make_problem
from tests.helpers.tolerances import assert_near

ONE_GROUP = [name for name, case in CASES.items() if "groups" not in case]
UNSTRIDED_IN_TIME = [name for name in ONE_GROUP if torch.tensor(CASES[name].get("stride", 1)).expand(4)[3] == 1]


@pytest.fixture(autouse=True)
def _on_the_composed_backend() -> Iterator[None]:
    with use_backend("composed"):
        yield


def _force(monkeypatch: pytest.MonkeyPatch, formulation: str) -> None:
    monkeypatch.setattr(composed, "_formulation", lambda *_: formulation)


@pytest.mark.parametrize("name", CASES)
def test_tap_by_tap_holds_for_every_problem(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _force(monkeypatch, "tap by tap")
    x, weight, bias, options = make_problem(name)
    assert_near(conv4d(x, weight, bias, **options), conv4d_reference(x, weight, bias, **options))


@pytest.mark.parametrize("name", ONE_GROUP)
def test_stacked_inputs_hold_for_one_group(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _force(monkeypatch, "stacked inputs")
    x, weight, bias, options = make_problem(name)
    assert_near(conv4d(x, weight, bias, **options), conv4d_reference(x, weight, bias, **options))


@pytest.mark.parametrize("name", UNSTRIDED_IN_TIME)
def test_stacked_outputs_hold_without_stride_in_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _force(monkeypatch, "stacked outputs")
    x, weight, bias, options = make_problem(name)
    assert_near(conv4d(x, weight, bias, **options), conv4d_reference(x, weight, bias, **options))


@pytest.mark.parametrize(
    ("name", "dtype", "num_calls"),
    [
        ("pointwise", torch.float32, 1),
        ("cube", torch.float32, 1),
        ("cube", torch.bfloat16, 3),
        ("one_input_channel", torch.float32, 1),
        ("one_input_channel_strided", torch.float32, 1),
        ("wide", torch.float32, 3),
        ("stride_2_even_frames", torch.float32, 3),
        ("groups", torch.float32, 3),
        ("few_frames_kept", torch.float32, 5),
        ("one_frame", torch.float32, 1),
    ],
)
def test_number_of_conv3d_calls(name: str, dtype: torch.dtype, num_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias, options = make_problem(name)
    calls: list[torch.Size] = []
    conv3d = composed.functional.conv3d
    monkeypatch.setattr(composed.functional, "conv3d", lambda *args: (calls.append(args[0].shape), conv3d(*args))[1])
    conv4d(x.to(dtype), weight.to(dtype), bias.to(dtype), **options)
    assert len(calls) == num_calls


def test_stride_in_time_reads_only_the_frames_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _, options = make_problem("stride_2_even_frames", batch=1)
    frames: list[int] = []
    conv3d = composed.functional.conv3d
    monkeypatch.setattr(composed.functional, "conv3d", lambda *args: (frames.append(len(args[0])), conv3d(*args))[1])
    conv4d(x, weight, **options)
    # Of 8 frames the middle tap reads 0, 2, 4, 6, the last one 1, 3, 5, 7 and the first one 1, 3, 5.
    assert sorted(frames) == [3, 4, 4]


@pytest.mark.parametrize("size", [(2, 1, 1), (3, 2, 9), (2, 9, 2)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_gradients_hold_where_padding_covers_much_of_the_kernel(stride: int, size: tuple[int, ...]) -> None:
    # Where oneDNN itself pads there, the weight gradient is unset memory, on machines with BF16 instructions.
    x, weight = torch.randn(1, 3, *size, 2).bfloat16(), torch.randn(2, 3, 3, 3, 3, 3).bfloat16()
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    actual, expected = (f(*leaves, padding=1, stride=stride) for f in (conv4d, conv4d_reference))
    seed = torch.randn_like(expected).bfloat16()
    theirs = torch.autograd.grad(expected, leaves, seed.double())
    for mine, exact in zip(torch.autograd.grad(actual, leaves, seed), theirs, strict=True):
        assert_near(mine, exact, torch.bfloat16)
