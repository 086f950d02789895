# SPDX-License-Identifier: Apache-2.0
"""Which implementation computes a call of the operator."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import native
from .settings import PRECISIONS, active

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
"""What the native kernels compute with."""
TF32 = len(PRECISIONS)
"""The code of the precision that nobody asks for here: ``fast`` where torch's own flags allow TF32."""

_reported: set[str] = set()


class BackendError(RuntimeError):
    """The backend that was asked for cannot serve a call; the message says why."""


class BackendWarning(UserWarning):
    """The composed backend serves a call that the native kernels are for; the message says why."""


def runs_native(*tensors: Tensor | None) -> bool:
    """Choose the backend of one call, by :func:`cardiac4d.ops.use_backend` or the environment.

    Args:
        tensors: all tensors of the call; ``None`` stands for a missing bias.

    Returns:
        True for the native kernels, False for the composed backend.

    Raises:
        BackendError: if the settings demand native kernels, and they cannot serve the call.
    """
    settings = active()
    if _is_ruled_out():
        return False
    given = [tensor for tensor in tensors if tensor is not None]
    reason = _obstacle(given)
    if not reason:
        return True
    expected = given[0].device.type == "cpu"
    if settings.backend == "native" or (settings.strict and expected):
        raise BackendError(f"no native 4D convolution: {reason}")
    if expected:
        _report(reason)
    return False


def could_run_native(*tensors: Tensor | None) -> bool:
    """Answer as :func:`runs_native` does, but take a fallback neither for an error nor for worth a warning."""
    return not _is_ruled_out() and not _obstacle([tensor for tensor in tensors if tensor is not None])


@torch.compiler.assume_constant_result  # the compiler itself watches for it, and compiles again when it changes
def is_forward_mode() -> bool:
    """Tell whether derivatives are computed forwards: by ``torch.func.jvp``, or in a ``dual_level``."""
    # Asking each tensor for its tangent would miss nested transforms, as in `torch.func.hessian`.
    return forward_ad._current_level >= 0


@torch.compiler.assume_constant_result  # as above
def is_transformed() -> bool:
    """Tell whether a transform of ``torch.func`` (``vmap`` is one) sees the call."""
    return torch._C._are_functorch_transforms_active()


def precision_code(like: Tensor) -> int:
    """The precision in force for a call on such tensors, as the kernels number it (``csrc/conv4d_problem.h``)."""
    precision = active().precision
    is_float_on_gpu = like.device.type == "cuda" and like.dtype == torch.float32
    if precision == "fast" and is_float_on_gpu and _allows_tf32():
        return TF32
    return PRECISIONS.index(precision)


@torch.compiler.assume_constant_result  # torch's compiler does not trace its flags; compiled code keeps the answer
def _allows_tf32() -> bool:
    """Tell whether torch computes convolutions in TF32, ``torch.backends.cudnn.allow_tf32`` by its older name."""
    return torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]  # made at run time


def _is_ruled_out() -> bool:
    """Tell whether the native kernels must not serve any call, whatever the tensors."""
    backend = active().backend
    return backend == "composed" or (backend == "auto" and _is_written_to_a_file())


def _is_written_to_a_file() -> bool:
    """Tell whether a graph is recorded for a file that must load without this package."""
    return torch.jit.is_tracing() or (torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export())


def _obstacle(tensors: Sequence[Tensor]) -> str:
    """Say what keeps the native kernels from serving these tensors; "" if nothing does."""
    first = tensors[0]
    device = first.device.type
    if device not in ("cpu", "cuda"):
        return f"there are no native kernels for the device {device}"
    if device == "cuda" and active().backend == "auto":
        return "the kernels for CUDA serve where they are asked for by name alone"
    problem = native.CUDA_PROBLEM if device == "cuda" else native.PROBLEM
    if problem:
        return f"the native library{' for CUDA' if device == 'cuda' else ''} is {problem}"
    if first.dtype not in DTYPES:
        return f"there are no native kernels for {first.dtype}"
    if any(tensor.dtype != first.dtype or tensor.device != first.device for tensor in tensors):
        return "the tensors differ in dtype or device"
    if is_forward_mode():
        return "the native kernels have no forward-mode derivative"
    if torch.compiler.is_compiling() and is_transformed():
        return "compiled code has no native kernels under the transforms of torch.func"
    return ""


def _report(reason: str) -> None:
    """Warn of a fallback, once per reason; compiled code stays silent, for a warning would break its graph."""
    if torch.compiler.is_compiling() or reason in _reported:
        return
    _reported.add(reason)
    warnings.warn(f"cardiac4d computes on the composed backend: {reason}", BackendWarning, stacklevel=5)
