# SPDX-License-Identifier: Apache-2.0
"""A training step as a CUDA graph, in the check of a GPU: what it calls, and what it compares."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_native

TINY = (8, 6, 5, 4)


@pytest.fixture
def graph(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return importlib.import_module("conv4d_benchmark.gpu_graph")


@needs_native
def test_replayed_steps_are_compared_with_launched_ones(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(step: Any, factor: float = 1.0) -> Any:
        loss = [step() for _ in range(graph.WARM_UP)][-1].clone()
        return lambda: loss.copy_(factor * step()), loss

    monkeypatch.setattr(graph, "capture", pretend)
    row = graph.measure("cpu", "float32", TINY)
    assert min(row.launched_ms, row.host_ms, row.replayed_ms) > 0
    assert "| training step, float32 |" in graph.to_table([row])
    monkeypatch.setattr(graph, "capture", lambda step: pretend(step, 1.01))
    with pytest.raises(RuntimeError, match="losses of a replayed step"):
        graph.measure("cpu", "float32", TINY)


def test_step_is_captured_after_a_warm_up_on_another_stream(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's CUDA played by a notebook: what is called, in its order."""
    done: list[str] = []

    class Named:
        def __init__(self, name: str = "side") -> None:
            self.name = name

        def wait_stream(self, other: Any) -> None:
            done.append(f"{self.name} waits for {other.name}")

        def replay(self) -> None:
            done.append("replay")

    def note(name: str) -> Any:
        done.append(name)
        return nullcontext()

    fakes = {"Stream": Named, "current_stream": lambda: Named("main"), "CUDAGraph": Named}
    fakes |= {"stream": lambda stream: note(f"on {stream.name}"), "graph": lambda graph: note("capture")}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    replay, loss = graph.capture(lambda: (done.append("step"), torch.ones(()))[1])
    replay()
    steps = ["step"] * graph.WARM_UP
    assert done == ["side waits for main", "on side", *steps, "main waits for side", "capture", "step", "replay"]
    assert loss == 1
