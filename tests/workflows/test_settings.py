# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from cardiac4d.errors import InputError
from cardiac4d.workflows import check_settings

WRONG = [
    ("max_epochs", -3, "a whole number of at least 1"),
    ("max_epochs", 0, "a whole number of at least 1"),
    ("max_epochs", 2.5, "a whole number of at least 1"),
    ("max_epochs", "abc", "a whole number of at least 1"),
    ("max_epochs", True, "a whole number of at least 1"),
    ("val_interval", 0, "a whole number of at least 1"),
    ("checkpoint_interval", 0, "a whole number of at least 1"),
    ("batch_size", 0, "a whole number of at least 1"),
    ("num_workers", -1, "a whole number of at least 0"),
    ("seed", -1, "a whole number of at least 0"),
    ("num_frames", 0, "a whole number of at least 1"),
    ("window_frames", 0, "a number of frames, or -1 for the whole sequence"),
    ("sw_overlap", 1.0, "a number from 0 to below 1"),
    ("prepared_dtype", "int8", "one of float16, float32"),
    ("prepare_workers", 0, "a whole number of at least 1"),
    ("foreground_prob", float("nan"), "a number from 0 to 1"),
    ("poly_power", -1, "a number of at least 0"),
    ("learning_rate", 0, "a number above 0"),
    ("roi_size", [96, 96], "three whole numbers"),
    ("roi_size", [96, 96, 0], "three whole numbers"),
    ("roi_size", 96, "three whole numbers"),
    ("spacing_mm", 5.0, "three numbers above 0 in millimetres"),
    ("spacing_mm", [1.0, 1.0, -1.0], "three numbers above 0 in millimetres"),
    ("orientation", "RAX", "three letters such as RAS"),
    ("orientation", "RLS", "three letters such as RAS"),
    ("resume", "false", "True or False"),
    ("overwrite", 1, "True or False"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), WRONG)
def test_wrong_value_names_its_option_and_what_is_wanted(name, value, wanted):
    with pytest.raises(InputError) as refused:
        check_settings(**{name: value})
    text = str(refused.value)
    assert text.startswith(f"--{name}: it is {value!r}. Fix: give {wanted}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epochs", 1),
        ("num_workers", 0),
        ("window_frames", -1),
        ("sw_overlap", 0),
        ("foreground_prob", 1),
        ("prepared_dtype", "float32"),
        ("poly_power", 0),
        ("roi_size", (64, 64, -1)),
        ("spacing_mm", None),
        ("spacing_mm", [1, 1.5, 2]),
        ("orientation", None),
        ("orientation", "LPS"),
        ("resume", False),
    ],
)
def test_right_value_passes(name, value):
    check_settings(**{name: value})


def test_training_too_short_to_be_validated_is_warned_of(caplog):
    check_settings(max_epochs=5, val_interval=5)
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        check_settings(max_epochs=5, val_interval=10)
    assert "val_interval 10 is more than max_epochs 5: no validation, and no model_best.pt" in caplog.text
    assert "Fix: " in caplog.text
