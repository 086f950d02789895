# SPDX-License-Identifier: Apache-2.0
"""The backends of the 4D convolution that this machine can run; the tests of a missing one skip and say why."""

from __future__ import annotations

import pytest

from cardiac4d.ops import native

needs_native = pytest.mark.skipif(bool(native.PROBLEM), reason=f"the native library is {native.PROBLEM}")

BACKENDS = [pytest.param("composed"), pytest.param("native", marks=needs_native)]
"""To parametrize a test; give the value to ``use_backend``, which makes a fallback an error."""
