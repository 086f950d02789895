# SPDX-License-Identifier: Apache-2.0
"""A script looks at all its arguments before it works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cardiac4d.command_line import run
from cardiac4d.errors import InputError

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "scripts").glob("*.py"))


class Script:
    """A script's function that notes its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.monkeypatch = monkeypatch

    def __call__(self, *arguments: str) -> None:
        def work(
            folder: str,
            seed: int = 0,
            share: float = 0.5,
            overwrite: bool = False,
            size: tuple[int, int] = (1, 2),
            picture: str | None = None,
        ) -> str:
            """Work."""
            self.calls.append((folder, seed, share, overwrite, size, picture))
            return "done"

        self.monkeypatch.setattr(sys, "argv", ["work.py", *arguments])
        run(work)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(monkeypatch)


def test_arguments_reach_the_function_and_its_result_is_printed(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script("out", "--seed", "3", "--share=1", "--overwrite", "--size", "(4,5)", "--picture", "None")
    assert script.calls == [("out", 3, 1, True, (4, 5), None)]
    assert capsys.readouterr().out == "done\n"


def test_text_is_taken_to_the_letter(script: Script) -> None:
    script("--folder", "2024", "--picture", "1e3")
    assert script.calls == [("2024", 0, 0.5, False, (1, 2), "1e3")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out", "--sed", "3"), "--sed"),
        (("out", "--seed", "3", "--verbose"), "--verbose"),
        (("out", "1", "0.5", "True", "(1,2)", "a.png", "more"), "more"),
        ((), "folder"),
        (("out", "--seed", "abc"), "--seed must be a whole number, got 'abc'"),
        (("out", "--seed", "2.5"), "--seed must be a whole number, got '2.5'"),
        (("out", "--seed", "True"), "--seed must be a whole number, got 'True'"),
        (("out", "--share", "half"), "--share must be a number, got 'half'"),
        (("out", "--overwrite", "yes"), "--overwrite must be True or False, got 'yes'"),
        (("out", "--size", "4"), "--size must be a list of 2 values, each a whole number, got '4'"),
        (("out", "--size", "(4,5,6)"), "--size must be a list of 2 values"),
    ],
)
def test_argument_that_does_not_fit_is_refused_before_any_work(
    script: Script, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        script(*arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert script.calls == []


def test_help_does_no_work(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        script("--help")
    assert stopped.value.code == 0
    assert "--seed=SEED" in capsys.readouterr().err.replace("\b", "")
    assert script.calls == []


def test_input_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(folder: str) -> None:
        raise InputError(folder, "it is empty", "name another")

    monkeypatch.setattr(sys, "argv", ["work.py", "out"])
    with pytest.raises(SystemExit, match=r"^out: it is empty\. Fix: name another\.$"):
        run(work)


def test_missing_fire_is_explained(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fire", None)
    with pytest.raises(SystemExit, match=r"pip install '\.\[train\]'"):
        script("out")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_runs_so(path: Path) -> None:
    """By `run`, or by argparse, which refuses what it does not know before it returns."""
    text = path.read_text(encoding="utf-8")
    assert text.rstrip().splitlines()[-1].strip().startswith("run(") or "argparse.ArgumentParser(" in text
