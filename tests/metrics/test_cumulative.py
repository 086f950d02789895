# SPDX-License-Identifier: Apache-2.0
"""The package's metrics behave like MONAI's: inputs, reductions, the Ignite handler, several processes."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor, list_data_collate
from monai.handlers import IgniteMetricHandler, from_engine

from cardiac4d.metrics import EjectionFractionError, SparseDice, TemporalSmoothness, temporal_l2


@pytest.fixture
def case(pred, label, affine) -> dict[str, MetaTensor]:
    arrays = {"pred": pred, "label": label}
    return {key: MetaTensor(torch.from_numpy(array)[None], affine=affine) for key, array in arrays.items()}


def test_label_map_one_hot_and_logits_give_the_same(case) -> None:
    label_map, target = case["pred"], case["label"]
    one_hot = torch.nn.functional.one_hot(label_map[0].long(), 3).movedim(-1, 0)
    rows = [SparseDice()([form], [target]) for form in (label_map, label_map.float(), one_hot, 5.0 * one_hot - 2)]
    assert 0.5 < rows[0].min() < 1
    assert all(torch.equal(row, rows[0]) for row in rows[1:])


def test_list_and_batch_of_metatensors_give_the_same(case) -> None:
    batch = list_data_collate([case, case])
    for metric in (SparseDice(), TemporalSmoothness(), EjectionFractionError()):
        one, both = metric([case["pred"]], [case["label"]]), metric(batch["pred"], batch["label"])
        assert torch.equal(torch.cat([one, one]), both)


def test_reductions(case) -> None:
    metric = SparseDice("none")
    metric([case["pred"], case["label"].where(case["label"] < 255, 0)], [case["label"]] * 2)
    rows = metric.aggregate()
    assert rows.shape == (2, 2)
    assert rows[1].tolist() == [1, 1]
    assert torch.allclose(metric.aggregate("mean_batch"), rows.mean(dim=0))
    assert metric.aggregate("mean").item() == pytest.approx(rows.mean().item())


def test_mean_over_cases_without_annotation_is_nan_not_zero(case) -> None:
    metric = SparseDice()
    metric([case["pred"]], [torch.full_like(case["label"], 255)])
    assert math.isnan(metric.aggregate().item())


def test_ignite_handler_reports_scalar_and_details(case, pred, affine) -> None:
    engine = Engine(lambda engine, batch: [case, case])
    select = from_engine(["pred", "label"])
    for name, metric in {"dice": SparseDice(), "l2": TemporalSmoothness(), "ef": EjectionFractionError()}.items():
        IgniteMetricHandler(metric, output_transform=select).attach(engine, name)
    for _ in range(2):  # the second run starts from nothing
        state = engine.run([0], max_epochs=1)
        assert state.metrics["l2"] == pytest.approx(temporal_l2(pred, affine)["mean"], rel=1e-6)
        assert state.metric_details["dice"].shape == (2, 2)
        assert 0 < state.metrics["ef"] < 100


@pytest.mark.parametrize("metric", [SparseDice(), EjectionFractionError(), TemporalSmoothness()])
def test_aggregate_before_any_case_is_refused(metric) -> None:
    with pytest.raises(ValueError, match="has seen no case"):
        metric.aggregate()


def test_misuse_is_named(case) -> None:
    with pytest.raises(ValueError, match="SparseDice needs the label `y`"):
        SparseDice()([case["pred"]])
    with pytest.raises(ValueError, match=r"`y_pred` must be \(C, H, W, D, T\) per case, got shape"):
        SparseDice()([case["pred"][0]], [case["label"]])
    with pytest.raises(ValueError, match="same number of cases, got 2 and 1"):
        SparseDice()(torch.stack([case["pred"]] * 2), case["label"][None])
    with pytest.raises(ValueError, match=r"`reduction` must be one of .* got 'median'"):
        SparseDice("median")


WORKER = """
import sys
import torch
import torch.distributed as dist
from cardiac4d.metrics import SparseDice

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
metric = SparseDice()
label = torch.ones(1, 4, 1, 1, 1)
for num_right in ((4, 2), (1,))[rank]:  # three cases over two ranks
    metric([(torch.arange(4) < num_right).float().reshape(1, 4, 1, 1, 1)], [label])
print(metric.aggregate("none")[:, 0].tolist())
dist.destroy_process_group()
"""


def test_rows_of_all_ranks_are_gathered(tmp_path: Path) -> None:
    bundle = Path(__file__).resolve().parents[2] / "bundle"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(bundle)!r})\n{WORKER}"]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=120)[0] for process in ranks]
    expected = [1.0, 2 * 2 / 6, 2 * 1 / 5]  # Dice of 4, 2 and 1 of 4 voxels
    for text in printed:
        np.testing.assert_allclose(sorted(map(float, text.strip("[]\n").split(",")), reverse=True), expected, rtol=1e-6)
