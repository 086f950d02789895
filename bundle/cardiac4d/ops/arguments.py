# SPDX-License-Identifier: Apache-2.0
"""Arguments of a 4D convolution: parsing, checks and the size of its output.

Everything but :func:`to_size4` compiles under TorchScript, hence the plain ``list[int]`` signatures.
"""

from collections.abc import Sequence
from operator import index

from torch import SymInt, Tensor

Size4 = int | Sequence[int]
"""One integer for all four axes, or one per axis in the order H, W, D, T."""

LARGEST = 2**31 - 1
"""Of a size argument, so that no sum or product of them overflows 64 bits."""


def to_size4(value: Size4, name: str, minimum: int) -> tuple[int, int, int, int]:
    """Spell out a size argument for the four axes.

    Args:
        value: one integer for all axes, or four in the order H, W, D, T.
        name: the argument's name, for the message.
        minimum: the smallest admissible entry.

    Returns:
        The four integers.

    Raises:
        ValueError: if there are not four entries, or one of them is no integer, too small, or 2**31 or more.
    """
    rule = f"`{name}` (={value!r}) must be one integer or four (H, W, D, T), each >= {minimum} and < 2**31"
    try:
        entries = [index(entry) for entry in value] if isinstance(value, Sequence) else [index(value)] * 4
    except TypeError as error:
        raise ValueError(rule) from error
    if len(entries) != 4 or min(entries) < minimum or max(entries) > LARGEST:
        raise ValueError(rule)
    return entries[0], entries[1], entries[2], entries[3]


def to_count(value: int, name: str) -> int:
    """Check a number of groups or channels.

    Raises:
        ValueError: if it is no positive integer; the message names the argument.
    """
    try:
        count = index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"`{name}` (={value!r}) must be a positive integer")
    return count


def to_shape(value: Sequence[int], name: str) -> list[int]:
    """Spell out the shape of a tensor that is asked for.

    Args:
        value: six extents; those of a graph with symbolic sizes stay symbolic.
        name: the argument's name, for the message.

    Raises:
        ValueError: if there are not six integers.
    """
    try:
        shape = [extent if isinstance(extent, int | SymInt) else index(extent) for extent in value]
    except TypeError:
        shape = []
    if len(shape) != 6:
        raise ValueError(f"`{name}` (={value!r}) must be six integers")
    return shape


def output_size(
    size: list[int], kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> list[int]:
    """Extent of the output per axis; not positive where the kernel does not fit into the padded input.

    Source: the formula of :class:`torch.nn.Conv3d`, per axis.
    """
    return [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(len(size))]


def check_tensors(**tensors: object) -> None:
    """Check that a convolution is given tensors, and not arrays or numbers; ``bias`` may be ``None``.

    Raises:
        TypeError: if it is not; the message names the argument.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor) and (name != "bias" or value is not None):
            raise TypeError(f"`{name}` must be a torch.Tensor, got {type(value).__name__}")


def check_kinds(**tensors: Tensor | None) -> None:
    """Check that the tensors of one call have one dtype and lie on one device.

    Raises:
        ValueError: if they differ; the message names both arguments and what each is.
    """
    (first, model), *others = ((name, tensor) for name, tensor in tensors.items() if tensor is not None)
    for name, tensor in others:
        if tensor.dtype != model.dtype or tensor.device != model.device:
            raise ValueError(
                f"`{name}` is {tensor.dtype} on {tensor.device}, but `{first}` is {model.dtype} on {model.device}: "
                f"convert one of them with `.to(...)`"
            )


def check_shapes(input: list[int], weight: list[int], groups: int) -> None:
    """Check the shapes of a 4D convolution's input and weight against each other.

    Raises:
        ValueError: if a rank or a channel count is not admissible; the message names the argument.
    """
    if len(input) != 6:
        raise ValueError(f"`input` must have 6 axes (N, C, H, W, D, T), got shape {input}")
    if len(weight) != 6:
        raise ValueError(f"`weight` must have 6 axes (C_out, C_in / groups, KH, KW, KD, KT), got shape {weight}")
    if weight[0] < 1 or weight[1] < 1:
        raise ValueError(f"`weight` must have channels on both sides, got shape {weight}")
    if groups < 1 or weight[0] % groups != 0:
        raise ValueError(f"`groups` (={groups}) must be positive and divide the output channels (={weight[0]})")
    if input[1] != weight[1] * groups:
        raise ValueError(
            f"`input` has {input[1]} channels, but `weight` of shape {weight} with "
            f"`groups` (={groups}) needs {weight[1] * groups}"
        )


def check_bias(bias: Tensor | None, channels: int) -> None:
    """Check that a bias has one entry per output channel.

    Raises:
        ValueError: if it has another shape.
    """
    if bias is not None and (bias.dim() != 1 or bias.shape[0] != channels):
        raise ValueError(f"`bias` must have shape [{channels}], got {list(bias.shape)}")


def check_extents(
    input: list[int], weight: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> None:
    """Check that the kernel fits into the padded input on every axis; takes the shapes of input and weight.

    Raises:
        ValueError: if the output or the kernel would be empty on an axis; the message names the axis.
    """
    size, kernel = input[2:], weight[2:]
    extents = output_size(size, kernel, stride, padding, dilation)
    for i in range(4):
        if kernel[i] < 1 or size[i] < 1 or extents[i] < 1:
            raise ValueError(
                f"`weight` of extent {kernel[i]} with `dilation` (={dilation[i]}) does not fit into `input` of extent "
                f"{size[i]} with `padding` (={padding[i]}) on axis {'HWDT'[i]}"
            )
