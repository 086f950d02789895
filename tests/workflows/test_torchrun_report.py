# SPDX-License-Identifier: Apache-2.0
import json

from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from cardiac4d.workflows.torchrun_report import tell_torchrun

VARIABLE = "TORCHELASTIC_ERROR_FILE"


def test_torchrun_shows_the_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "error.json"))
    tell_torchrun("a.nii: truncated. Fix: copy it again.")
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=1, error_file=str(tmp_path / "error.json"))
    assert failure.message == "a.nii: truncated. Fix: copy it again."
    assert failure.timestamp > 0


def test_the_first_report_stays(tmp_path, monkeypatch):
    path = tmp_path / "error.json"
    monkeypatch.setenv(VARIABLE, str(path))
    tell_torchrun("first")
    tell_torchrun("second")
    assert json.loads(path.read_text())["message"] == "first"


def test_without_torchrun_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    tell_torchrun("a sentence")
    assert not list(tmp_path.iterdir())
