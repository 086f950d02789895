# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from cardiac4d.ops import backend_info


def test_backend_info_names_the_backend_and_the_torch_version() -> None:
    info = backend_info()
    assert info["backend"] == "composed"
    assert info["torch"] == torch.__version__
    assert info["native"].startswith("not built")
