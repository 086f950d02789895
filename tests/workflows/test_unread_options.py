# SPDX-License-Identifier: Apache-2.0
import json
import logging

import pytest

from cardiac4d.workflows import warn_of_unread_options


@pytest.fixture
def files(tmp_path):
    base = {"max_epochs": 500, "train": {"trainer": {}}, "step": "$@given_by_user + 1"}
    overlay = {"learning_rate": 0.1, "network_def::spatial_dims": 3}
    for name, content in {"train": base, "quick": overlay}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path / "train.json", tmp_path / "quick.json"


def warnings_for(caplog, *words, start=("/site/monai/bundle/__main__.py", "run", "training")) -> str:
    with caplog.at_level(logging.WARNING):
        warn_of_unread_options([*start, *map(str, words)])
    return caplog.text


def test_misspelt_option_is_named_with_the_closest_id(caplog, files):
    text = warnings_for(caplog, "--config_file", files[0], "--max_epoch", "1")
    assert "--max_epoch is ignored: no config of this run has such an id. Fix: did you mean --max_epochs?" in text


def test_option_like_no_id_is_named_alone(caplog, files):
    text = warnings_for(caplog, "--config_file", files[0], "--zzz=1")
    assert "--zzz is ignored: no config of this run has such an id. Fix: leave it out" in text


@pytest.mark.parametrize(
    "words",
    [
        ("--max_epochs", "1"),
        ("--max-epochs=1",),
        ("--learning_rate", "-0.1"),
        ("--train::trainer::amp", "False"),
        ("--train#trainer#amp", "False"),
        ("--network_def::channels", "3"),
        ("--given_by_user", "3"),
        ("--logging_file", "mine.conf"),
        ("--run_id", "run"),
    ],
)
def test_known_options_pass(caplog, files, words):
    listed = str([str(file) for file in files])
    assert warnings_for(caplog, "--config_file", listed, *words) == ""
    assert warnings_for(caplog, f"--config_file={listed}", *words) == ""


def test_overlays_are_read_however_they_are_listed(caplog, files):
    listed = f"['{files[0]}','{files[1]}']"
    assert warnings_for(caplog, "--config_file", listed, "--learning_rate", "1") == ""


@pytest.mark.parametrize(
    "start", [("/usr/bin/pytest", "run"), ("/site/monai/bundle/__main__.py", "ckpt_export"), ("x",), ()]
)
def test_other_programs_are_left_alone(caplog, files, start):
    assert warnings_for(caplog, "--config_file", files[0], "--zzz", "1", start=start) == ""


@pytest.mark.parametrize(
    "words", [(), ("--config_file", "/no/such.json"), ("--config_file",), ("--args_file", "a.json")]
)
def test_configs_that_cannot_be_read_are_monais_to_refuse(caplog, words):
    assert warnings_for(caplog, *words, "--zzz", "1") == ""
