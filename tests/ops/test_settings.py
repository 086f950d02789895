# SPDX-License-Identifier: Apache-2.0
"""Which backend was asked for, and what becomes of the wish."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch

import cardiac4d
from cardiac4d.ops import BackendError, BackendWarning, backend, backend_info, conv4d, functional, native, use_backend
from cardiac4d.ops.reference import conv4d_reference
from cardiac4d.ops.settings import Settings, active, from_environment
from tests.helpers.backends import needs_native
from tests.helpers.conv4d_cases import make_problem
from tests.helpers.process import run_python

X, WEIGHT = torch.ones(1, 1, 3, 3, 3, 3), torch.ones(1, 1, 3, 3, 3, 3)


@pytest.fixture
def not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody has built the library, and no warning has been given yet."""
    monkeypatch.setattr(native, "PROBLEM", "not built: run `python -m cardiac4d.ops.build`")
    monkeypatch.setattr(backend, "_reported", set())


def test_context_changes_what_it_names_and_restores_it_after_an_error() -> None:
    before = active()

    @use_backend("composed", precision="exact")
    def fail() -> None:
        assert active() == Settings("composed", "exact", before.strict, before.fused)
        with use_backend(strict=True, fused=False):
            assert active() == Settings("composed", "exact", True, False)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert active() == before


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACKEND", "PRECISION", "STRICT", "FUSED"):
        monkeypatch.delenv(f"CARDIAC4D_{name}", raising=False)
    assert from_environment() == Settings("auto", "fast", False, True)
    for name, value in (("BACKEND", "composed"), ("PRECISION", "direct"), ("STRICT", "1"), ("FUSED", "0")):
        monkeypatch.setenv(f"CARDIAC4D_{name}", value)
    assert from_environment() == Settings("composed", "direct", True, False)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("BACKEND", "cuda", "auto, native, composed"),
        ("PRECISION", "low", "fast, exact, direct"),
        ("STRICT", "yes", "0, 1"),
        ("FUSED", "no", "1, 0"),
        ("CPU_ISA", "AVX2", "avx512, avx2, portable"),
    ],
)
def test_bad_environment_variable_is_named(name: str, value: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CARDIAC4D_{name}", value)
    with pytest.raises(ValueError, match=f"variable CARDIAC4D_{name} \\(='{value}'\\) must be one of {rule}"):
        from_environment()


@pytest.mark.parametrize(("name", "meant"), [("BACKED", "BACKEND"), ("CPUISA", "CPU_ISA"), ("FUSE", "FUSED")])
def test_misspelt_environment_variable_is_named(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CARDIAC4D_{name}", "1")
    with pytest.warns(UserWarning, match=f"CARDIAC4D_{name} does nothing; CARDIAC4D_{meant} may be meant"):
        from_environment()


def test_bad_argument_is_named() -> None:
    with pytest.raises(ValueError, match=r"`backend` \(='cuda'\) must be one of auto"), use_backend("cuda"):
        pass
    with pytest.raises(ValueError, match=r"`precision` \(='low'\) must be one of fast"), use_backend(precision="low"):
        pass


@pytest.mark.usefixtures("not_built")
def test_fallback_says_why_once() -> None:
    with use_backend("auto", strict=False):
        with pytest.warns(BackendWarning, match="composed backend: the native library is not built: run `python -m"):
            conv4d(X, WEIGHT)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert conv4d(X, WEIGHT).item() == 81


@pytest.mark.usefixtures("not_built")
def test_strict_makes_the_fallback_an_error() -> None:
    with use_backend("auto", strict=True), pytest.raises(BackendError, match=r"no native 4D convolution: .* not built"):
        conv4d(X, WEIGHT)


@pytest.mark.usefixtures("not_built")
def test_native_makes_the_fallback_an_error() -> None:
    with use_backend("native"), pytest.raises(BackendError, match="not built"):
        conv4d(X, WEIGHT)


@pytest.mark.usefixtures("not_built")
def test_composed_needs_no_library_and_says_nothing() -> None:
    with use_backend("composed", strict=True):
        assert conv4d(X, WEIGHT).item() == 81


def test_other_devices_run_composed_even_if_strict_but_not_if_native() -> None:
    x, weight = X.to("meta"), WEIGHT.to("meta")
    with use_backend("auto", strict=True):
        assert conv4d(x, weight).shape == (1, 1, 1, 1, 1, 1)
    with use_backend("native"), pytest.raises(BackendError, match="no native kernels for the device meta"):
        conv4d(x, weight)


@needs_native
def test_dtype_without_kernels_is_named() -> None:
    with use_backend("native"), pytest.raises(BackendError, match=r"no native kernels for torch.complex64"):
        conv4d(X.to(torch.complex64), WEIGHT.to(torch.complex64))


@needs_native
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced_graph_needs_no_library() -> None:
    with use_backend("auto"):
        traced = torch.jit.trace(lambda x: conv4d(x, WEIGHT, padding=1), (X,))
    assert "cardiac4d::" not in str(traced.graph)
    assert torch.equal(traced(X), conv4d(X, WEIGHT, padding=1))


@needs_native
@pytest.mark.parametrize("precision", ["exact", "direct"])
def test_precision_reaches_the_kernels(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = []
    monkeypatch.setattr(functional, "call", lambda *args: codes.append(args[-1]))
    with use_backend("native", precision=precision):
        conv4d(X, WEIGHT)
    assert codes == [{"exact": 1, "direct": 2}[precision]]


def test_backend_info_names_backend_reason_and_versions() -> None:
    with use_backend("auto", precision="exact", strict=False, fused=False):
        info = backend_info()
    assert (info["backend"], info["native"]) == (
        ("composed", native.PROBLEM) if native.PROBLEM else ("native", "loaded")
    )
    assert (info["requested"], info["precision"], info["strict"], info["fused"]) == ("auto", "exact", "no", "no")
    assert (info["cardiac4d"], info["torch"]) == (cardiac4d.__version__, torch.__version__)
    assert info["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert info["other_devices"] == "composed"
    assert Path(info["library"]).name == "_native.so"
    assert (info["instruction_set"] == "none") == bool(native.PROBLEM)
    with use_backend("composed"):
        assert backend_info()["backend"] == "composed"


@pytest.mark.usefixtures("not_built")
def test_backend_info_names_the_remedy() -> None:
    assert backend_info()["native"] == "not built: run `python -m cardiac4d.ops.build`"


def test_command_prints_the_info(repo_root: Path) -> None:
    printed = run_python("-m", "cardiac4d.ops", cwd=repo_root / "bundle", env={"CARDIAC4D_BACKEND": "composed"})
    lines = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert lines.keys() == backend_info().keys()
    assert (lines["backend"], lines["requested"]) == ("composed", "composed")


@pytest.mark.filterwarnings("ignore:cardiac4d computes on the composed backend:cardiac4d.ops.BackendWarning")
@pytest.mark.parametrize("name", ["cube", "one_input_channel"])
def test_forward_mode_derivative_is_there_on_every_backend(name: str) -> None:
    x, weight, bias, options = make_problem(name)
    tangent = torch.randn_like(x)
    with use_backend("auto", strict=False):
        _, actual = torch.func.jvp(lambda x: conv4d(x, weight, bias, **options), (x,), (tangent,))
    torch.testing.assert_close(actual, conv4d(tangent, weight, **options))


@pytest.mark.filterwarnings("ignore:cardiac4d computes on the composed backend:cardiac4d.ops.BackendWarning")
def test_forward_over_reverse_mode_is_there_on_every_backend() -> None:
    x, weight = torch.randn(1, 1, 2, 2, 2, 2).double(), torch.randn(1, 1, 2, 1, 2, 1).double()
    with use_backend("auto", strict=False):
        hessian = torch.func.hessian(lambda weight: conv4d(x, weight, padding=1).pow(3).sum())(weight)
    expected = torch.autograd.functional.hessian(
        lambda weight: conv4d_reference(x, weight, padding=1).pow(3).sum(), weight
    )
    torch.testing.assert_close(hessian, expected)
