# SPDX-License-Identifier: Apache-2.0
"""``python -m cardiac4d.ops`` prints which backend computes the 4D convolution here, and why."""

from .info import backend_info

for name, value in backend_info().items():
    print(f"{name:20}{value}")
