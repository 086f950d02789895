# SPDX-License-Identifier: Apache-2.0
"""Networks. Importing them also adds ``Conv4d`` to MONAI's layer factory as ``Conv["conv4d"]``."""

from ..layers.registration import register
from .encoder_decoder import EncoderDecoder

register()

__all__ = ["EncoderDecoder"]
