# SPDX-License-Identifier: Apache-2.0
"""4D (3D + time) cardiac segmentation with true 4D convolutions, sparse labels and temporal measurements.

Public names load on first use: ``from cardiac4d import Conv4d`` needs torch alone, and importing the package compiles
nothing, reads no network and probes no accelerator.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Conv4d": "layers",
    "conv4d": "ops",
    "EncoderDecoder": "networks",
    "SparseSequenceLoss": "losses",
}
__all__ = ["Conv4d", "EncoderDecoder", "SparseSequenceLoss", "__version__", "conv4d"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
