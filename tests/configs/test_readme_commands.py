# SPDX-License-Identifier: Apache-2.0
"""What the README says of the configs, and the values that its commands give them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from tests.helpers.configs import CONFIGS, OVERLAYS, parse

README = (CONFIGS.parent / "README.md").read_text(encoding="utf-8")


def test_overlays_of_the_readme_lay_over_what_it_says():
    table = re.findall(r"^\| (`\w+\.json`.*?) \| (.+?) \|", README, re.MULTILINE)
    stated = {name: tuple(bases.split(", ")) for names, bases in table for name in re.findall(r"`(\w+)\.json`", names)}
    assert stated == OVERLAYS


def readme_commands() -> list[list[str]]:
    """The words behind ``python -m monai.bundle run`` of each command, in the order of the README."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.split("monai.bundle run ")[1]) for line in lines if "monai.bundle run " in line]


def parse_command(words: list[str]) -> ConfigParser:
    options = dict(zip(words[1::2], words[2::2], strict=True))
    files = options.pop("--config_file")
    values = {name.removeprefix("--"): value for name, value in options.items()}
    literal = {name: json.loads(value) if re.match(r"[-\d\[]", value) else value for name, value in values.items()}
    return parse(*re.findall(r"configs/(\w+)\.json", files), **literal)


def test_first_commands_of_the_readme_train_evaluate_and_apply_one_network():
    """The numbers of the evaluation are those of the segmentation only if voxels and windows are the same."""
    training, evaluating, inference = (parse_command(words) for words in readme_commands()[:3])
    for key in ("recipe", "roi_size", "window_frames", "sw_overlap", "framewise"):
        assert evaluating.get_parsed_content(key) == inference.get_parsed_content(key), key
    for key in ("recipe", "roi_size", "window_frames", "sw_overlap"):
        assert training.get_parsed_content(key) == inference.get_parsed_content(key), key
    model = Path(training.get_parsed_content("ckpt_dir")) / "model_last.pt"
    assert Path(evaluating.get_parsed_content("checkpoint")) == model
    assert CONFIGS.parent / inference["checkpoint"] == model


def test_baseline_command_of_the_readme_fits_its_training():
    (words,) = (words for words in readme_commands() if any("baseline_3d" in word for word in words))
    for key in ("recipe", "roi_size"):
        assert parse("train_3d").get_parsed_content(key) == parse_command(words).get_parsed_content(key)


def test_bfloat16_of_the_docs_reaches_the_trainer() -> None:
    text = (CONFIGS.parent / "docs" / "README.md").read_text(encoding="utf-8")
    (given,) = re.findall(r"--(train::trainer::amp_kwargs '\{.*\}')", text)
    name, value = shlex.split(given)
    parser = parse("train", **{name: json.loads(value)})
    assert parser.get_parsed_content(name) == {"dtype": torch.bfloat16}
