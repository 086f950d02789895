# SPDX-License-Identifier: Apache-2.0
"""``Conv["conv4d"]`` in MONAI's layer factory. The only module of the layers that needs MONAI."""

from monai.networks.layers.factories import Conv

from .conv import Conv4d


def _conv4d_factory(dim: int = 4) -> type[Conv4d]:
    if dim != 4:
        raise ValueError(f"`dim` (={dim}) must be 4: Conv['conv4d'] has four axes; use Conv['conv', {dim}]")
    return Conv4d


def register() -> None:
    """Add ``Conv4d`` to MONAI's convolution factory as ``Conv["conv4d"]``.

    Safe to call again; an entry of that name is never replaced, and MONAI's own entries stay as they are. Importing
    :mod:`cardiac4d.networks` calls it.

    Example:
        >>> register()
        >>> Conv["conv4d"].__name__, Conv["conv", 3].__name__
        ('Conv4d', 'Conv3d')
    """
    if "CONV4D" not in Conv.names:
        Conv.add_factory_callable("conv4d", _conv4d_factory)
