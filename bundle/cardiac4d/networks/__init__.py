# SPDX-License-Identifier: Apache-2.0
"""Networks. Where MONAI is installed, importing them adds ``Conv4d`` to its layer factory as ``Conv["conv4d"]``."""

from importlib.util import find_spec

from .encoder_decoder import EncoderDecoder

if find_spec("monai") is not None:
    from ..layers.registration import register

    register()

__all__ = ["EncoderDecoder"]
