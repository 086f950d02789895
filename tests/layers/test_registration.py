# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from monai.networks.layers.factories import Conv, LayerFactory
from torch import nn

import cardiac4d.networks  # registers
from cardiac4d import Conv4d
from cardiac4d.layers import registration


def test_monai_factory_knows_conv4d_and_keeps_its_own_entries() -> None:
    assert cardiac4d.networks.register is registration.register
    assert Conv["conv4d"] is Conv4d
    assert Conv["conv4d", 4] is Conv4d
    assert [Conv["conv", dim] for dim in (1, 2, 3)] == [nn.Conv1d, nn.Conv2d, nn.Conv3d]
    assert Conv["convtrans", 3] is nn.ConvTranspose3d


def test_other_ranks_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"`dim` \(=3\) must be 4.*use Conv\['conv', 3\]"):
        Conv["conv4d", 3]


def test_an_entry_of_that_name_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = LayerFactory(name="test", description="a factory with an entry of that name")
    factory.add_factory_callable("conv4d", lambda dim=4: nn.Identity)
    monkeypatch.setattr(registration, "Conv", factory)
    registration.register()
    assert factory["conv4d"] is nn.Identity


def test_registering_adds_the_entry_once(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = LayerFactory(name="test", description="an empty factory")
    monkeypatch.setattr(registration, "Conv", factory)
    registration.register()
    registration.register()
    assert factory["conv4d"] is Conv4d
