# SPDX-License-Identifier: Apache-2.0
"""Which backend the user asked for: environment variables, and a context manager that overrides them."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from typing import Any, NamedTuple

BACKENDS = ("auto", "native", "composed")
PRECISIONS = ("fast", "exact", "direct")
"""In the order of the codes in ``csrc/conv4d_problem.h``."""
INSTRUCTION_SETS = ("avx512", "avx2", "portable")
PREFIX = "CARDIAC4D_"
VARIABLES = ("BACKEND", "BUILD", "CPU_ISA", "CUDA", "CUDA_ARCHS", "FUSED", "PRECISION", "STRICT")
"""The environment variables of the operator and its build, without the prefix."""


class Settings(NamedTuple):
    """What was asked for; :func:`use_backend` explains the values."""

    backend: str
    precision: str
    strict: bool
    fused: bool


def from_environment() -> Settings:
    """Read ``CARDIAC4D_BACKEND``, ``CARDIAC4D_PRECISION``, ``CARDIAC4D_STRICT`` and ``CARDIAC4D_FUSED``.

    ``CARDIAC4D_CPU_ISA`` is checked alone: the kernels read it themselves, and would pass over what they do not know.

    Raises:
        ValueError: if one of them has a value that is not admissible; the message names it.
    """
    _warn_of_misspelt_names()
    _variable("CARDIAC4D_CPU_ISA", INSTRUCTION_SETS)
    return Settings(
        _variable("CARDIAC4D_BACKEND", BACKENDS),
        _variable("CARDIAC4D_PRECISION", PRECISIONS),
        _variable("CARDIAC4D_STRICT", ("0", "1")) == "1",
        _variable("CARDIAC4D_FUSED", ("1", "0")) == "1",
    )


def _warn_of_misspelt_names() -> None:
    for name in (name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX)):
        meant = [] if name in VARIABLES else get_close_matches(name, VARIABLES, n=1, cutoff=0.7)
        if meant:
            warnings.warn(
                f"the environment variable {PREFIX}{name} does nothing; {PREFIX}{meant[0]} may be meant", stacklevel=3
            )


def _variable(name: str, admissible: Sequence[str]) -> str:
    """Read an environment variable; the first admissible value is the default."""
    value = os.environ.get(name) or admissible[0]
    _check(f"the environment variable {name}", value, admissible)
    return value


def _check(name: str, value: str, admissible: Sequence[str]) -> None:
    if value not in admissible:
        raise ValueError(f"{name} (={value!r}) must be one of {', '.join(admissible)}")


_active = from_environment()


def active() -> Settings:
    """The settings in force."""
    return _active


def check_backend(name: str) -> str:
    """Return the name of a backend if there is one.

    Raises:
        ValueError: if it is not one of those of :func:`use_backend`.
    """
    _check("`backend`", name, BACKENDS)
    return name


def chosen_backend(name: str) -> AbstractContextManager[None]:
    """A context in which this backend computes; ``"auto"`` leaves the choice to what is in force around it."""
    return nullcontext() if name == "auto" else use_backend(name)


@contextmanager
def use_backend(
    backend: str | None = None,
    *,
    precision: str | None = None,
    strict: bool | None = None,
    fused: bool | None = None,
) -> Iterator[None]:
    """Choose the backend of every 4D convolution called inside; what is left out stays as it is.

    The choice is made in the forward pass: gradients are computed by the backend and with the precision of their
    forward. It holds for the whole process, like the flags of ``torch.backends``, and not for one thread.

    Args:
        backend: ``"auto"``: the native kernels where they serve a call on the CPU, else the composed backend; always
            the composed one under ``torch.jit`` and in ONNX export, whose files must not need this package.
            ``"native"``: the native kernels, or an error. ``"composed"``: torch's own operators alone.
        precision: of the native kernels in float32. ``"fast"``: Winograd F(4x4) where it applies; ``"exact"``:
            F(2x2), no less accurate than any way to compose it of ``conv3d``; ``"direct"``: no transform at all.
        strict: under ``"auto"`` make it an error if a tensor on the CPU is not served by the native kernels.
        fused: let the layers use kernels that compute several layers in one pass, see :mod:`cardiac4d.ops.fusion`.

    Raises:
        ValueError: if a value is not admissible; the message names the argument.

    Example:
        >>> with use_backend("composed"):
        ...     active().backend
        'composed'
    """
    global _active
    before = _active
    asked = Settings(
        before.backend if backend is None else backend,
        before.precision if precision is None else precision,
        before.strict if strict is None else strict,
        before.fused if fused is None else fused,
    )
    check_backend(asked.backend)
    _check("`precision`", asked.precision, PRECISIONS)
    _active = asked
    try:
        yield
    finally:
        _active = before


def same_backend_again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts for :func:`torch.utils.checkpoint.checkpoint`: what the backward computes again runs as it did."""
    return nullcontext(), _SettingsAgain(_active)


class _SettingsAgain(AbstractContextManager[None]):
    """Settings to enter any number of times: each backward through one graph enters the same object."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        context = use_backend(**self._settings._asdict())
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)
