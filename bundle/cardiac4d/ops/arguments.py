# SPDX-License-Identifier: Apache-2.0
"""Arguments of a 4D convolution: parsing, checks and the size of its output.

Everything but :func:`to_size4` compiles under TorchScript, hence the plain ``list[int]`` signatures.
"""

from collections.abc import Sequence
from operator import index

from torch import Tensor

Size4 = int | Sequence[int]
"""One integer for all four axes, or one per axis in the order H, W, D, T."""


def to_size4(value: Size4, name: str, minimum: int) -> tuple[int, int, int, int]:
    """Spell out a size argument for the four axes.

    Args:
        value: one integer for all axes, or four in the order H, W, D, T.
        name: the argument's name, for the message.
        minimum: the smallest admissible entry.

    Returns:
        The four integers.

    Raises:
        ValueError: if there are not four entries, or one of them is no integer or too small.
    """
    rule = f"`{name}` (={value!r}) must be one integer or four (H, W, D, T), each >= {minimum}"
    try:
        entries = [index(entry) for entry in value] if isinstance(value, Sequence) else [index(value)] * 4
    except TypeError as error:
        raise ValueError(rule) from error
    if len(entries) != 4 or min(entries) < minimum:
        raise ValueError(rule)
    return entries[0], entries[1], entries[2], entries[3]


def output_size(
    size: list[int], kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> list[int]:
    """Extent of the output per axis; not positive where the kernel does not fit into the padded input.

    Source: the formula of :class:`torch.nn.Conv3d`, per axis.
    """
    return [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(len(size))]


def check_shapes(input: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """Check the tensors of a 4D convolution against each other.

    Raises:
        ValueError: if a rank or a channel count is not admissible; the message names the argument.
    """
    if input.dim() != 6:
        raise ValueError(f"`input` must have 6 axes (N, C, H, W, D, T), got shape {list(input.shape)}")
    if weight.dim() != 6:
        raise ValueError(
            f"`weight` must have 6 axes (C_out, C_in / groups, KH, KW, KD, KT), got shape {list(weight.shape)}"
        )
    if groups < 1 or weight.shape[0] % groups != 0:
        raise ValueError(f"`groups` (={groups}) must be positive and divide the output channels (={weight.shape[0]})")
    if input.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"`input` has {input.shape[1]} channels, but `weight` of shape {list(weight.shape)} with "
            f"`groups` (={groups}) needs {weight.shape[1] * groups}"
        )
    if bias is not None and (bias.dim() != 1 or bias.shape[0] != weight.shape[0]):
        raise ValueError(f"`bias` must have shape [{weight.shape[0]}], got {list(bias.shape)}")


def check_extents(input: Tensor, weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]) -> None:
    """Check that the kernel fits into the padded input on every axis.

    Raises:
        ValueError: if the output or the kernel would be empty on an axis; the message names the axis.
    """
    size, kernel = list(input.shape[2:]), list(weight.shape[2:])
    extents = output_size(size, kernel, stride, padding, dilation)
    for i in range(4):
        if kernel[i] < 1 or size[i] < 1 or extents[i] < 1:
            raise ValueError(
                f"`weight` of extent {kernel[i]} with `dilation` (={dilation[i]}) does not fit into `input` of extent "
                f"{size[i]} with `padding` (={padding[i]}) on axis {'HWDT'[i]}"
            )
