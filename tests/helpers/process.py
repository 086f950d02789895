# SPDX-License-Identifier: Apache-2.0
"""Run a Python process as a user would, and show its output when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_python(
    *args: str | Path, cwd: Path, env: dict[str, str] | None = None, isolated: bool = False, timeout_s: float = 300
) -> str:
    """Run the interpreter of this test session and return what it printed to stdout.

    Args:
        args: the command line behind ``python``, for example ``"-m", "monai.bundle", "run"``.
        cwd: working directory.
        env: variables added to the environment of this session.
        isolated: take ``PYTHONPATH`` and an editable install of cardiac4d away from ``-m module``, so that a config
            must find the package by itself.
        timeout_s: seconds until the process is killed.

    Raises:
        AssertionError: if the process exits with another code than 0; the message holds both its streams.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    arguments = [str(arg) for arg in args]
    if isolated:
        assert arguments[0] == "-m", "an isolated run starts a module"
        environment.pop("PYTHONPATH", None)
        arguments = ["-c", _WITHOUT_INSTALL, *arguments]
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, (
        f"{command} exited with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    )
    return done.stdout


# `python -c` keeps '' (the working directory) at sys.path[0], as `python -m` does.
_WITHOUT_INSTALL = """
import runpy, sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if not (Path(p or ".") / "cardiac4d" / "__init__.py").is_file()]
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
