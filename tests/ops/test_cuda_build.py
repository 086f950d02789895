# SPDX-License-Identifier: Apache-2.0
"""The build of the CUDA library: when it happens, what it leaves, what nvcc makes of the kernels. Needs no GPU."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest
import torch

from cardiac4d.ops import build, cuda_build, cuda_registers, native, sources, toolchain
from tests.helpers.backends import needs_cuda_library, needs_nm
from tests.helpers.elf import KNOWN, undefined_symbols
from tests.helpers.process import run_python

WEAK = {"aoti_torch_get_current_cuda_stream"}
"""What a torch without CUDA does not have; the library must load there."""

REGISTERS = {
    "correlate": 128,
    "sum_pieces": 128,
    "add_pieces": 64,
    "correlate_on_tensor_cores": 255,  # shared memory allows two blocks of 128 threads at most, as 255 registers do
    "correlate_streamed": 255,
    "correlate_in_float32": 168,
    "correlate_strided_in_float32": 255,  # two blocks of 128 threads
    "spread_strided_in_float32": 255,
    "pack_in_float32": 40,
    "pack": 40,
    "sum_in_float32": 168,
    "sum_on_tensor_cores": 200,
    "correlate_strided": 224,  # two blocks of 128 threads have 255
    "spread_strided": 168,
    "correlate_image": 168,
    "correlate_image_in_float32": 168,
    "pack_words": 40,
    "mix_channels": 96,
    "sum_channel_pairs": 168,
    "visit_channels": 128,
    "sum_channels": 96,
    "add_sums": 64,
    "per_channel": 80,
    "softmax": 80,
    "sum_softmax": 128,
    "grad_softmax": 255,  # of up to three classes 128: two blocks of 256 threads
}
"""The most registers that a thread of each kernel may take, on any architecture and for any dtype."""

needs_nvcc = pytest.mark.skipif(toolchain.find_nvcc() is None, reason="needs nvcc")


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CUDA toolkit and a C++ compiler that write the files they are asked for, and log their command lines."""
    folder = tmp_path / "toolkit"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib64").mkdir()
    (folder / "lib64" / "libcudart_static.a").touch()
    digests = f"cardiac4d-sources:{sources.digest()}", f"cardiac4d-sources:{sources.cuda_digest()}"
    for script, content in (
        (folder / "bin" / "nvcc", f"""[ "$1" = --dryrun ] && echo '#$ TOP={folder}/bin/..' >&2 && exit\n"""),
        (tmp_path / "c++", ""),
    ):
        script.write_text(
            f'#!/bin/sh\n{content}echo "$0 $@" >> {tmp_path}/log\n'
            'case "$*" in *_native_cuda.so*) content="' + digests[1] + '";; *) content="' + digests[0] + '";; esac\n'
            'while [ "$1" != -o ]; do shift; done\n'
            'printf "$content" > "$2"\n'
        )
        script.chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    monkeypatch.setenv("CUDA_HOME", str(folder))
    for name in ("BUILD", "CUDA", "CUDA_ARCHS"):
        monkeypatch.delenv(f"CARDIAC4D_{name}", raising=False)
    return folder


def _say(toolkit: Path) -> str:
    """Build where an installation would; what it says."""
    return build.build_if_possible(toolkit.parent / "out")


def _left(toolkit: Path) -> list[str]:
    return sorted(path.name for path in (toolkit.parent / "out").iterdir())


def test_nvcc_compiles_the_kernels_and_its_runtime_is_kept_inside(toolkit: Path) -> None:
    out = toolkit.parent / "out"
    assert _say(toolkit) == f"cardiac4d: built {out}/_native.so and {out}/_native_cuda.so"
    assert _left(toolkit) == ["_native.so", "_native_cuda.so", "_native_cuda_registers.json"]
    lines = (toolkit.parent / "log").read_text().splitlines()
    compiled = [line for line in lines if line.startswith(f"{toolkit}/bin/nvcc")]
    assert len(compiled) == len(list((sources.CSRC / "cuda").glob("*.cu")))
    for line in compiled:
        assert f"-ccbin {toolkit.parent}/c++" in line
        for architecture in ("75,code=sm_75", "80,code=sm_80", "90,code=sm_90", "90,code=compute_90"):
            assert f"-gencode=arch=compute_{architecture}" in line
    (linked,) = (line for line in lines if "-shared" in line and "_native_cuda.so" in line)
    assert f"{toolkit}/lib64/libcudart_static.a" in linked
    assert "-ltorch -ltorch_cpu" in linked


def test_architectures_are_chosen(toolkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDIAC4D_CUDA_ARCHS", "90a; 100+PTX")
    _say(toolkit)
    log = (toolkit.parent / "log").read_text()
    flags = (
        "arch=compute_90a,code=sm_90a -gencode=arch=compute_100,code=sm_100 -gencode=arch=compute_100,code=compute_100"
    )
    assert flags in log
    assert 'C4D_ARCHITECTURES="90a; 100+PTX"' in log
    monkeypatch.setenv("CARDIAC4D_CUDA_ARCHS", "9.0")
    assert "no kernels for CUDA (CARDIAC4D_CUDA_ARCHS (='9.0') must be a list such as 75;80;90+PTX" in _say(toolkit)


def test_cuda_is_left_out_and_what_is_there_is_removed(toolkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _say(toolkit)
    monkeypatch.setenv("CARDIAC4D_CUDA", "0")
    assert _say(toolkit) == f"cardiac4d: built {toolkit.parent}/out/_native.so"
    assert _left(toolkit) == ["_native.so"]
    monkeypatch.delenv("CARDIAC4D_CUDA")
    _say(toolkit)
    monkeypatch.setenv("CARDIAC4D_BUILD", "0")
    _say(toolkit)
    assert _left(toolkit) == []


def test_without_nvcc_there_is_no_cuda_unless_it_is_demanded(
    toolkit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cuda_build, "find_nvcc", lambda: None)
    assert _say(toolkit) == f"cardiac4d: built {toolkit.parent}/out/_native.so"
    monkeypatch.setenv("CARDIAC4D_CUDA", "1")
    with pytest.raises(build.BuildError, match="CARDIAC4D_CUDA=1, but nvcc was not found; CUDA_HOME names"):
        _say(toolkit)
    assert build.main(["--output_dir", str(toolkit.parent / "out")]) == 1
    assert "nvcc was not found" in capsys.readouterr().err
    monkeypatch.setenv("CARDIAC4D_CUDA", "yes")
    with pytest.raises(build.BuildError, match=r"CARDIAC4D_CUDA \(='yes'\) must be 0 or 1"):
        _say(toolkit)


def test_failing_nvcc_leaves_the_cpu_its_kernels_unless_cuda_is_demanded(
    toolkit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = toolkit / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\necho unsupported compiler >&2\nexit 2\n")
    said = _say(toolkit)
    assert f"{nvcc} failed with exit code 2; CARDIAC4D_CUDA=1 shows more" in said
    assert len(said.splitlines()) == 1
    assert _left(toolkit) == ["_native.so"]
    monkeypatch.setenv("CARDIAC4D_CUDA", "1")
    with pytest.raises(build.BuildError, match="unsupported compiler"):
        _say(toolkit)


def test_toolkit_is_where_nvcc_says_and_not_where_it_lies(toolkit: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "elsewhere" / "nvcc"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {toolkit}/bin/nvcc "$@"\n')
    wrapper.chmod(0o755)
    assert toolchain.find_cuda_runtime(str(wrapper)) == toolkit / "lib64" / "libcudart_static.a"
    (toolkit / "lib64" / "libcudart_static.a").unlink()
    with pytest.raises(build.BuildError, match=r"has no libcudart_static\.a"):
        toolchain.find_cuda_runtime(str(wrapper))


def test_each_library_is_stale_when_its_own_sources_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sources.CSRC, tmp_path / "csrc")
    monkeypatch.setattr(sources, "CSRC", tmp_path / "csrc")
    before = sources.digest(), sources.cuda_digest()
    for name, changes in (
        ("cuda/plain_correlate.cu", (False, True)),
        ("cpu/conv4d_cpu.h", (True, False)),
        ("conv4d_problem.h", (True, True)),
    ):
        with (tmp_path / "csrc" / name).open("a") as source:
            source.write("\n")
        after = sources.digest(), sources.cuda_digest()
        assert tuple(old != new for old, new in zip(before, after, strict=True)) == changes
        before = after


def test_cuda_library_of_other_sources_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PROBLEM", "")
    library = tmp_path / "_native_cuda.so"
    assert native._load_cuda(library) == "not built: where nvcc is, run `python -m cardiac4d.ops.build`"
    library.write_bytes(b"cardiac4d-sources:" + sources.digest().encode())
    assert native._load_cuda(library).startswith(f"stale: {library} was not built from the sources beside it; run")
    library.write_bytes(b"no ELF file cardiac4d-sources:" + sources.cuda_digest().encode())
    assert re.match(r"not loadable: .*; run `python -m", native._load_cuda(library))
    monkeypatch.setattr(native, "PROBLEM", "not built: run it")
    assert native._load_cuda(library) == "not loaded: the native library is not built: run it"


@needs_cuda_library
@needs_nm
def test_library_uses_nothing_but_the_stable_interface_of_torch() -> None:
    names = undefined_symbols(sources.CUDA_LIBRARY)
    assert sorted(name for name in names if not KNOWN.fullmatch(name)) == []
    assert {name for name, kind in names.items() if kind == "w" and "torch" in name} == WEAK


@needs_nvcc
@pytest.mark.slow
def test_library_builds_from_scratch_and_loads_without_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARDIAC4D_CUDA_ARCHS", raising=False)
    (torch_dir,) = torch.__path__
    nvcc = toolchain.find_nvcc()
    assert nvcc
    library = cuda_build.build_cuda(tmp_path, Path(torch_dir), toolchain.find_compiler(), nvcc)
    assert sources.architectures_of_library(library) == cuda_build.ARCHITECTURES
    assert sources.digest_of_library(library) == sources.cuda_digest()
    # Into a process of its own, where no other copy has registered the operators.
    load = f"torch.ops.load_library({str(library)!r})"
    has = "torch._C._dispatch_has_kernel_for_dispatch_key('cardiac4d::conv4d', 'CUDA')"
    code = f"import torch; {load}; print({has}, torch.version.cuda)"
    assert run_python("-c", code, cwd=tmp_path) == f"True {torch.version.cuda}\n"


@needs_cuda_library
def test_no_kernel_spills_registers() -> None:
    kernels = cuda_registers.registers_of_library()
    named = sources.architectures_of_library(sources.CUDA_LIBRARY)
    built_for = {f"sm_{number}" for number in re.findall(r"\d+[af]?", named)}
    seen = set()
    for kernel in kernels:
        (name,) = (name for name in REGISTERS if f"{len(name)}{name}" in kernel["kernel"])
        seen.add((name, kernel["architecture"]))
        assert kernel["spilled_bytes"] == 0, kernel
        assert kernel["registers"] <= REGISTERS[name], kernel
    assert seen == set(itertools.product(REGISTERS, built_for))


SPILLING = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4goodi' for 'sm_80'
ptxas info    : Function properties for _Z4goodi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 380 bytes cmem[0]
ptxas info    : Compiling entry function '_Z3badi' for 'sm_90'
ptxas info    : Function properties for _Z3badi
    96 bytes stack frame, 96 bytes spill stores, 64 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers
"""


def test_words_of_nvcc_are_kept_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "_native_cuda.so"
    with pytest.raises(FileNotFoundError, match=r"there is no .*: python -m cardiac4d\.ops\.build"):
        cuda_registers.registers_of_library(library)
    cuda_registers.write_registers(tmp_path, ["", SPILLING])
    good, bad = cuda_registers.registers_of_library(library)
    assert good == {"kernel": "_Z4goodi", "architecture": "sm_80", "registers": 40, "spilled_bytes": 0}
    assert bad == {"kernel": "_Z3badi", "architecture": "sm_90", "registers": 255, "spilled_bytes": 160}
    cuda_registers.write_registers(tmp_path, [SPILLING.replace("Used 255", "Takes 255")])
    with pytest.raises(ValueError, match=r"registers of 1 of 2 kernels: .* pattern `_KERNEL` in cuda_registers\.py"):
        cuda_registers.registers_of_library(library)
    monkeypatch.setattr(cuda_registers, "cuda_digest", lambda: "other")
    with pytest.raises(ValueError, match="of other sources; build the library again"):
        cuda_registers.registers_of_library(library)
