# SPDX-License-Identifier: Apache-2.0
"""Files in the ONNX format compute what the operator computes, without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cardiac4d import Conv4d
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import use_backend

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = [
    # torch's exporters speak of themselves.
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*feature will be removed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]

# Each formulation of the composed backend: taps as outputs, as inputs, one by one; and a stride in time.
LAYERS = {
    "stacked outputs": {"in_channels": 2, "out_channels": 3, "padding": 1},
    "stacked inputs": {"in_channels": 1, "out_channels": 3, "padding": 1},
    "tap by tap": {"in_channels": 4, "out_channels": 4, "padding": 1, "groups": 2},
    "stride": {"in_channels": 2, "out_channels": 3, "padding": 1, "stride": 2},
}


def _run(path: Path, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def _export(module: nn.Module, x: Tensor, path: Path, *, dynamo: bool) -> None:
    with use_backend("auto"):
        torch.onnx.export(module.eval(), (x,), str(path), dynamo=dynamo, verbose=False)


@pytest.mark.parametrize("dynamo", [True, False], ids=["exported", "traced"])
@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_layer_computes_the_same_in_onnxruntime(options: dict[str, Any], dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = Conv4d(kernel_size=3, **options)
    x = torch.randn(1, options["in_channels"], 6, 5, 4, 7)
    _export(layer, x, tmp_path / "layer.onnx", dynamo=dynamo)
    torch.testing.assert_close(_run(tmp_path / "layer.onnx", x), layer(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamo", [True, False], ids=["exported", "traced"])
def test_network_computes_the_same_in_onnxruntime(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = EncoderDecoder(blocks_down=(1, 1), blocks_up=(1,)).eval()
    x = torch.randn(1, 1, 7, 6, 5, 9)
    _export(network, x, tmp_path / "network.onnx", dynamo=dynamo)
    torch.testing.assert_close(_run(tmp_path / "network.onnx", x), network(x).detach(), rtol=1e-4, atol=1e-4)


def test_file_needs_no_operator_of_this_package(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    _export(Conv4d(2, 3, 3, padding=1), torch.randn(1, 2, 4, 4, 4, 4), tmp_path / "layer.onnx", dynamo=True)
    assert {node.domain for node in onnx.load(tmp_path / "layer.onnx").graph.node} == {""}
