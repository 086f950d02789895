# SPDX-License-Identifier: Apache-2.0
"""The build of the native library: what it leaves, what it says when it cannot, and what is never loaded."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from cardiac4d.ops import build, native, sources
from tests.helpers.backends import needs_compiler, needs_native, needs_nm
from tests.helpers.elf import KNOWN, undefined_symbols
from tests.helpers.process import run_python

CROSS_COMPILER = "aarch64-linux-gnu-g++"
ARM64_ELF = (183).to_bytes(2, "little")
"""The machine in the header of an object file (EM_AARCH64 of the ELF specification)."""


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes its last argument's file, and logs what it was asked for."""
    script = tmp_path / "c++"
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/log\n'
        'while [ "$1" != -o ]; do shift; done\n'
        f'printf "cardiac4d-sources:{sources.digest()}" > "$2"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("CARDIAC4D_CUDA", "0")  # whether nvcc is there or not
    monkeypatch.delenv("CARDIAC4D_BUILD", raising=False)
    return script


def _fails(compiler: Path) -> None:
    compiler.write_text("#!/bin/sh\necho no such flag >&2\nexit 3\n")


def test_every_unit_is_compiled_with_its_flags_and_linked_by_name(compiler: Path, tmp_path: Path) -> None:
    library = build.build(tmp_path / "out")
    assert library == tmp_path / "out" / "_native.so"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_native.so"]
    *compiled, linked = (tmp_path / "log").read_text().splitlines()
    assert len(compiled) == len(sources.units())
    for source, flags in sources.units().items():
        (line,) = (line for line in compiled if str(source) in line)
        assert " ".join(flags) in line
        assert f'C4D_SOURCES="{sources.digest()}"' in line
        assert ("TORCH_STABLE_ONLY" in line) == source.name.startswith("binding")
    assert "-ltorch -ltorch_cpu" in linked


def test_units_of_an_instruction_set_get_its_flags_on_its_architecture_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    for name in ("binding", "cpu/general", "cpu/winograd_avx2", "cpu/winograd_avx512"):
        (tmp_path / f"{name}.cpp").touch()
    monkeypatch.setattr(sources, "CSRC", tmp_path)
    monkeypatch.setattr(sources.platform, "machine", lambda: "x86_64")
    flags = {path.stem: set(flags) for path, flags in sources.units().items()}
    assert "-mavx512f" in flags["winograd_avx512"]
    assert "-mavx2" in flags["winograd_avx2"]
    assert not any(flag.startswith("-m") for flag in flags["general"] | flags["binding"])
    monkeypatch.setattr(sources.platform, "machine", lambda: "aarch64")
    assert {path.stem for path in sources.units()} == {"binding", "general"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(CROSS_COMPILER) is None, reason=f"needs {CROSS_COMPILER}")
def test_units_compile_for_arm64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.platform, "machine", lambda: "aarch64")
    (torch_dir,) = torch.__path__
    objects = build._compile(tmp_path, Path(torch_dir), CROSS_COMPILER)
    assert {path.stem for path in objects} == {path.stem for path in sources.units()}
    for path in objects:
        assert path.read_bytes()[18:20] == ARM64_ELF, path


def test_every_environment_variable_is_documented(repo_root: Path) -> None:
    document = (repo_root / "docs" / "conv4d.md").read_text(encoding="utf-8")
    named = set()
    for path in (path for end in ("py", "cpp", "h") for path in (repo_root / "bundle").rglob(f"*.{end}")):
        named |= set(re.findall(r"\bCARDIAC4D_[A-Z0-9_]+(?<!_H)\b", path.read_text(encoding="utf-8")))
    assert "CARDIAC4D_CPU_ISA" in named
    assert sorted(name for name in named if f"| `{name}` |" not in document) == []


def test_digest_changes_with_any_source_and_any_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sources.CSRC, tmp_path / "csrc")
    before = sources.digest()
    monkeypatch.setattr(sources, "CSRC", tmp_path / "csrc")
    assert sources.digest() == before
    header = tmp_path / "csrc" / "cpu" / "conv4d_cpu.h"
    header.write_text(header.read_text() + "\n")
    changed = sources.digest()
    monkeypatch.setattr(sources, "TORCH_FLAGS", (*sources.TORCH_FLAGS, "-g"))
    assert len({before, changed, sources.digest()}) == 3


def test_failed_build_leaves_nothing_stale_and_shows_the_compiler(compiler: Path, tmp_path: Path) -> None:
    library = build.build(tmp_path / "out")
    _fails(compiler)
    with pytest.raises(build.BuildError, match=r"failed with exit code 3\n(?s:.*)no such flag"):
        build.build(tmp_path / "out")
    assert not library.exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_optional_build_says_what_to_do_in_one_line(
    compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--optional", "--output_dir", str(tmp_path / "out")]
    assert build.main(arguments) == 0
    assert capsys.readouterr().out == f"cardiac4d: built {tmp_path / 'out' / '_native.so'}\n"
    _fails(compiler)
    assert build.main(arguments) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "pure PyTorch runs instead" in line
    assert line.endswith("Build them later: python -m cardiac4d.ops.build")
    monkeypatch.setenv("CARDIAC4D_BUILD", "1")
    assert build.main(arguments) == 1
    assert "native kernels not built: " in capsys.readouterr().err


def test_build_can_be_left_out_and_removes_what_is_there(
    compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = build.build(tmp_path)
    monkeypatch.setenv("CARDIAC4D_BUILD", "0")
    assert "CARDIAC4D_BUILD=0" in build.build_if_possible(tmp_path)
    assert not library.exists()
    monkeypatch.setenv("CARDIAC4D_BUILD", "maybe")
    with pytest.raises(build.BuildError, match=r"CARDIAC4D_BUILD \(='maybe'\) must be 0 or 1"):
        build.build_if_possible(tmp_path)


def test_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        build.BuildError, match="the C\\+\\+ compiler no-such-compiler was not found; CXX names another"
    ):
        build.build(tmp_path)


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(build.BuildError, match=f"{tmp_path}/file"):
        build.build(tmp_path / "file")


def test_missing_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.find_torch() == Path(torch.__file__).parent
    monkeypatch.setattr(build, "STABLE_ABI", Path("no_such_header.h"))
    with pytest.raises(build.BuildError, match=r"torch 2\.10 or newer was not found"):
        build.build(tmp_path)


def test_library_of_other_sources_is_not_loaded(tmp_path: Path) -> None:
    library = tmp_path / "_native.so"
    assert native._load(library) == "not built: run `python -m cardiac4d.ops.build`"
    for content in (b"", b"cardiac4d-sources:" + b"0" * 32):
        library.write_bytes(content)
        assert native._load(library).startswith(f"stale: {library} was not built from the sources beside it; run")


def test_library_that_does_not_load_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "_native.so"
    library.write_bytes(b"no ELF file cardiac4d-sources:" + sources.digest().encode())
    monkeypatch.setattr(native.torch.ops, "cardiac4d", object())
    assert re.match(r"not loadable: .*; run `python -m", native._load(library))


@needs_native
def test_second_library_is_not_loaded_beside_the_first() -> None:
    assert native._load(sources.LIBRARY).startswith("taken: another copy of cardiac4d")


@needs_native
@needs_nm
def test_library_uses_nothing_but_the_stable_interface_of_torch_and_shows_nothing() -> None:
    undefined = undefined_symbols(sources.LIBRARY)
    assert {"torch_parallel_for", "torch_library_impl"} <= undefined.keys()
    assert sorted(name for name in undefined if not KNOWN.fullmatch(name)) == []
    command = ["nm", "-D", "--defined-only", str(sources.LIBRARY)]
    defined = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "c4d_" not in defined


@pytest.mark.slow
@needs_compiler
def test_library_builds_from_a_copy_of_the_package_and_computes(repo_root: Path, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(repo_root / "bundle" / "cardiac4d", tmp_path / "cardiac4d", ignore=ignore)
    env = {"PYTHONPATH": str(tmp_path), "CXX": "g++"}
    said = run_python("-m", "cardiac4d.ops.build", cwd=tmp_path, env={**env, "CARDIAC4D_CUDA": "0"})
    assert re.fullmatch(r"built .*_native\.so in \d+ s\n", said)
    code = "import torch; from cardiac4d.ops import *; print(conv4d(*2 * [torch.ones(1, 1, 3, 3, 3, 3)]).item())"
    assert run_python("-c", code, cwd=tmp_path, env={**env, "CARDIAC4D_BACKEND": "native"}) == "81.0\n"
    with (tmp_path / "cardiac4d" / "ops" / "csrc" / "binding.cpp").open("a") as source:
        source.write("\n")
    stale = run_python("-m", "cardiac4d.ops", cwd=tmp_path, env=env)
    assert "stale" in stale
