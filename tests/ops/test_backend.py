# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from cardiac4d.ops import backend, backend_info


def test_backend_info_names_the_backend_and_the_torch_version() -> None:
    info = backend_info()
    assert info["backend"] == "composed"
    assert info["torch"] == torch.__version__
    assert info["native"].startswith("not built")


def test_operator_and_module_need_torch_alone() -> None:
    bundle = Path(backend.__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(bundle)!r}); from cardiac4d import Conv4d, conv4d; Conv4d(1, 2, 3);"
        "print(sorted({'monai', 'ignite', 'nibabel', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
