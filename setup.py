# SPDX-License-Identifier: Apache-2.0
"""Build the native library along with the package, where torch and a compiler are there; all else is in pyproject.toml.

``cardiac4d/ops/build.py`` does the work and lists the environment variables.
"""

import importlib
import shutil
import sys
import sysconfig
import types
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

OPS = Path(__file__).resolve().parent / "bundle" / "cardiac4d" / "ops"


def import_build() -> types.ModuleType:
    """Import ``cardiac4d.ops.build`` without its package, which would import torch."""
    package = types.ModuleType("cardiac4d_build")
    package.__path__ = [str(OPS)]
    sys.modules[package.__name__] = package
    return importlib.import_module(f"{package.__name__}.build")


class BuildWithLibrary(build_py):
    """Copy the package, then compile the library beside the copy (in an editable install, beside the sources)."""

    def run(self) -> None:
        """Build; an error only if CARDIAC4D_BUILD=1 asks for it."""
        build = import_build()
        target = Path(self.build_lib, "cardiac4d", "ops")
        shutil.rmtree(target / "csrc", ignore_errors=True)  # what a removed source left in build/
        super().run()
        try:
            print(build.build_if_possible(OPS if self.editable_mode else target), file=sys.stderr)
        except build.BuildError as error:
            raise SystemExit(f"cardiac4d: native kernels not built: {error}") from error


class WheelForAnyPython(bdist_wheel):
    """``py3-none-<platform>`` with the library, which knows no Python, and ``py3-none-any`` without."""

    def get_tag(self) -> tuple[str, str, str]:
        """Decide by what the build left."""
        build_lib = Path(self.get_finalized_command("build_py").build_lib)
        self.root_is_pure = not (build_lib / "cardiac4d" / "ops" / "_native.so").is_file()
        platform = "any" if self.root_is_pure else sysconfig.get_platform().replace("-", "_").replace(".", "_")
        return "py3", "none", platform


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": WheelForAnyPython})
