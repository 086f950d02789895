# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from cardiac4d import Conv4d, EncoderDecoder
from cardiac4d.ops import use_backend
from cardiac4d.ops.layout import to_frames
from tests.helpers.backends import BACKENDS, needs_native

# Table 1 of Myronenko et al. 2019: module, operation, output. The input is 1x96x96x64x16.
TABLE = {
    "encoder.0.0": ("InitConv", (8, 96, 96, 64, 16)),
    "encoder.0.1": ("EncoderBlock0", (8, 96, 96, 64, 16)),
    "encoder.1.0": ("EncoderDown1", (16, 48, 48, 32, 8)),
    "encoder.1.1": ("EncoderBlock1", (16, 48, 48, 32, 8)),
    "encoder.1.2": ("EncoderBlock1", (16, 48, 48, 32, 8)),
    "encoder.2.0": ("EncoderDown2", (32, 24, 24, 16, 4)),
    "encoder.2.1": ("EncoderBlock2", (32, 24, 24, 16, 4)),
    "encoder.2.2": ("EncoderBlock2", (32, 24, 24, 16, 4)),
    "encoder.2.3": ("EncoderBlock2", (32, 24, 24, 16, 4)),
    "encoder.2.4": ("EncoderBlock2", (32, 24, 24, 16, 4)),
    "decoder.0.up": ("DecoderUp1", (16, 48, 48, 32, 8)),
    "decoder.0.blocks.0": ("DecoderBlock1", (16, 48, 48, 32, 8)),
    "decoder.1.up": ("DecoderUp0", (8, 96, 96, 64, 16)),
    "decoder.1.blocks.0": ("DecoderBlock0", (8, 96, 96, 64, 16)),
    "head.0": ("DecoderEnd", (3, 96, 96, 64, 16)),
}
DEEPEST_3D = (64, 12, 12, 8)


def _small(**options: object) -> EncoderDecoder:
    return EncoderDecoder(
        **{"init_filters": 4, "num_groups": 2, "blocks_down": (1, 1, 1), "blocks_up": (1, 1), **options}
    )


def _output_shapes(net: EncoderDecoder, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in net.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: shapes.__setitem__(name, tuple(out.shape)))
    net(torch.zeros(1, 1, *size, device="meta"))
    return shapes


def _num_weights(net: nn.Module) -> int:
    return sum(m.weight.numel() for m in net.modules() if isinstance(m, Conv4d | nn.Conv3d))


def test_every_stage_of_the_paper_has_its_shape() -> None:
    with torch.device("meta"):
        net = EncoderDecoder()
    shapes = _output_shapes(net, (96, 96, 64, 16))
    assert {name: shapes[name] for name in TABLE} == {name: (1, *shape) for name, (_, shape) in TABLE.items()}
    blocks = {name for name, module in net.named_modules() if type(module).__name__ in ("ResidualBlock", "UpsampleAdd")}
    assert blocks == {name for name, (operation, _) in TABLE.items() if "Block" in operation or "Up" in operation}


def test_every_convolution_of_the_paper_has_its_kernel_and_stride() -> None:
    convs = {name: m for name, m in EncoderDecoder().named_modules() if isinstance(m, Conv4d)}
    pointwise = {"decoder.0.conv", "decoder.1.conv", "head.0"}
    strided = {"encoder.1.0", "encoder.2.0"}
    assert {name for name, conv in convs.items() if conv.kernel_size == (1,) * 4} == pointwise
    assert {name for name, conv in convs.items() if conv.kernel_size == (3,) * 4} == set(convs) - pointwise
    assert {name for name, conv in convs.items() if conv.stride == (2,) * 4} == strided
    assert {name for name, conv in convs.items() if conv.stride == (1,) * 4} == set(convs) - strided


def test_number_of_weights_is_the_papers() -> None:
    net = EncoderDecoder()
    assert _num_weights(net) == 861_856
    assert sum(p.numel() for p in net.parameters()) == 861_856 + 768  # GN scale and shift
    assert sum(p.numel() for p in EncoderDecoder(bias=True).parameters()) == 861_856 + 768 + 467


def test_baseline_in_3d_has_one_level_more() -> None:
    with torch.device("meta"):
        net = EncoderDecoder(spatial_dims=3)
    assert _num_weights(net) == 1_285_104
    shapes = _output_shapes(net, (96, 96, 64))
    assert shapes["encoder.3.4"] == (1, *DEEPEST_3D)
    assert shapes[""] == (1, 3, 96, 96, 64)
    assert not any(isinstance(module, Conv4d) for module in net.modules())


@pytest.mark.parametrize("frames", [1, 2, 12, 15, 20, 35])
@pytest.mark.parametrize("size", [(16, 12, 8), (9, 13, 7), (5, 3, 1)], ids=str)
def test_any_size_and_number_of_frames_pass(size: tuple[int, int, int], frames: int) -> None:
    out = _small()(torch.randn(2, 1, *size, frames))
    assert out.shape == (2, 3, *size, frames)
    assert out.isfinite().all()


@pytest.mark.parametrize("size", [(16, 24, 8), (9, 13, 7), (5, 3, 1)], ids=str)
def test_any_size_passes_in_3d(size: tuple[int, int, int]) -> None:
    assert EncoderDecoder(spatial_dims=3)(torch.randn(2, 1, *size)).shape == (2, 3, *size)


def test_samples_of_a_batch_do_not_touch() -> None:
    net, x = _small(), torch.randn(3, 1, 9, 8, 7, 5)
    alone = torch.cat([net(sample[None]) for sample in x])
    torch.testing.assert_close(net(x), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("time_padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("size", [(9, 8, 7, 6), (4, 4, 4, 4), (9, 8, 7, 1)], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_layer_keeps_the_layout_of_the_backend(
    backend: str, size: tuple[int, ...], time_padding_mode: str
) -> None:
    net, converted = _small(final_norm_act=True, time_padding_mode=time_padding_mode), []

    def check(name: str, x: torch.Tensor) -> None:
        if not (x.is_contiguous() if backend == "native" else to_frames(x).data_ptr() == x.data_ptr()):
            converted.append((name, list(x.shape), x.stride()))

    def tensors(args: tuple[object, ...]) -> list[torch.Tensor]:
        return [x for arg in args for x in (arg if isinstance(arg, list) else [arg])]

    for name, module in net.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: check(name, out))
        if name not in {"", "encoder", "encoder.0", "encoder.0.0"}:  # the image comes as the user has it
            module.register_forward_pre_hook(
                lambda _, args, name=name: [check(name, x) for x in tensors(args)] and None
            )
    with use_backend(backend):
        net(torch.randn(2, 1, *size))
    assert not converted


def test_baseline_keeps_channels_innermost() -> None:
    net, lost = EncoderDecoder(spatial_dims=3, blocks_down=(1, 1), blocks_up=(1,)), []
    for module in net.modules():
        module.register_forward_hook(lambda module, _, out: lost.append(module) if out.stride(1) != 1 else None)
    net(torch.randn(1, 1, 9, 8, 7))
    assert not lost


def test_numbers_of_blocks_go_from_the_first_level_down_and_up_again() -> None:
    net = EncoderDecoder(blocks_down=(1, 0, 3), blocks_up=(2, 1))
    assert [len(stage) - 1 for stage in net.encoder] == [1, 0, 3]
    assert [len(stage.blocks) for stage in net.decoder] == [2, 1]
    assert [stage.conv.out_channels for stage in net.decoder] == [16, 8]


def test_gradients_reach_every_parameter() -> None:
    net = _small(bias=True, final_norm_act=True)
    net(torch.randn(1, 1, 9, 8, 7, 5)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_final_norm_and_activation_are_an_option() -> None:
    assert [type(module).__name__ for module in EncoderDecoder(final_norm_act=True).head] == [
        "GroupNorm",
        "ReLU",
        "Conv4d",
    ]
    assert [type(module).__name__ for module in EncoderDecoder(spatial_dims=3).head] == ["Conv3d"]


def test_time_padding_mode_reaches_every_convolution() -> None:
    x = torch.randn(1, 1, 8, 8, 4, 8)
    shifts = {}
    for mode in ("circular", "zeros"):
        net = _small(time_padding_mode=mode)
        shifts[mode] = (net(x.roll(4, -1)) - net(x).roll(4, -1)).abs().max()
    assert shifts["circular"] < 1e-5 < 1e-2 < shifts["zeros"]


@pytest.mark.parametrize(("spatial_dims", "unseen"), [(4, (2, 1, 11, 9, 7, 5)), (3, (2, 1, 11, 9, 7))])
def test_torchscript_gives_the_same_bits_on_unseen_odd_shapes(spatial_dims: int, unseen: tuple[int, ...]) -> None:
    net = EncoderDecoder(spatial_dims=spatial_dims, blocks_down=(1, 1, 1), blocks_up=(1, 1)).eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(net), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    for shape in [(1, 1, 8, 8, 8, 4)[: spatial_dims + 2], unseen, unseen]:
        x = torch.randn(shape)
        with torch.no_grad(), use_backend("composed"):
            assert torch.equal(scripted(x), net(x))


@pytest.mark.parametrize("backend", BACKENDS)
def test_torch_export_gives_the_same_result(backend: str) -> None:
    net, x = _small(blocks_down=(1, 1), blocks_up=(1,)).eval(), torch.randn(1, 1, 8, 8, 4, 5)
    with use_backend(backend):
        exported = torch.export.export(net, (x,))
        torch.testing.assert_close(exported.module()(x), net(x))
    operators = {str(node.target) for node in exported.graph.nodes}
    assert ("cardiac4d.conv4d.default" in operators) == (backend == "native")


@pytest.mark.parametrize("backend", BACKENDS)
def test_network_compiles_into_one_graph(backend: str) -> None:
    net, x = _small(blocks_down=(1, 1), blocks_up=(1,)).eval(), torch.randn(1, 1, 8, 8, 4, 5)
    with use_backend(backend):
        torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="eager")(x), net(x))


def test_autocast_computes_in_bfloat16_near_float32() -> None:
    net, x = _small().eval(), torch.randn(1, 1, 9, 8, 7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x)
    assert out.dtype == torch.bfloat16
    expected = net(x)
    assert (out - expected).abs().max() < 0.05 * expected.abs().max()


def test_meta_tensor_passes_and_keeps_its_metadata() -> None:
    net, x = _small(), torch.randn(2, 1, 9, 8, 7, 5)
    out = net(MetaTensor(x, affine=2 * torch.eye(4)))
    assert isinstance(out, MetaTensor)
    assert torch.equal(out.affine, MetaTensor(x, affine=2 * torch.eye(4)).affine)
    assert torch.equal(out.as_tensor(), net(x))


def test_state_dict_loads_with_weights_only(tmp_path: Path) -> None:
    torch.save(_small().state_dict(), tmp_path / "model.pt")
    net = _small()
    assert not any(net.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 2}, r"`spatial_dims` \(=2\) must be 3 or 4"),
        ({"num_groups": 3}, r"`init_filters` \(=8\) must be positive and divisible by `num_groups` \(=3\)"),
        ({"blocks_up": (1,)}, r"`blocks_up` \(=\(1,\)\) must have one entry fewer than `blocks_down` \(=\(1, 2, 4\)\)"),
        ({"blocks_down": (1, 2)}, r"`blocks_up` \(=\(1, 1\)\) must have one entry fewer"),
        ({"spatial_dims": 3, "time_padding_mode": "circular"}, r"`time_padding_mode` \(='circular'\) needs"),
        ({"time_padding_mode": "mirror"}, r"`time_padding_mode` \(='mirror'\) must be one of"),
    ],
)
def test_bad_argument_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderDecoder(**arguments)


@pytest.mark.parametrize(
    ("spatial_dims", "shape", "axes"),
    [
        (4, (1, 1, 8, 8, 8), r"\(N, C, H, W, D, T\)"),
        (4, (1, 2, 8, 8, 8, 4), r"\(N, C, H, W, D, T\)"),
        (3, (1, 1, 8, 8, 8, 4), r"\(N, C, H, W, D\)"),
    ],
)
def test_wrong_input_is_refused_with_its_shape(spatial_dims: int, shape: tuple[int, ...], axes: str) -> None:
    net = EncoderDecoder(spatial_dims=spatial_dims)
    with pytest.raises(ValueError, match=rf"`x` must be {axes} with C = 1, got shape \[{', '.join(map(str, shape))}\]"):
        net(torch.zeros(shape))


@needs_native
def test_fused_layers_give_the_results_and_gradients_of_the_separate_ones() -> None:
    net, x = _small(), torch.randn(2, 1, 9, 8, 7, 5)
    results = []
    for fused in (True, False):
        with use_backend("native", precision="exact", fused=fused):
            logits = net(x)
            assert isinstance(net(MetaTensor(x)), MetaTensor)
        results.append([logits, *torch.autograd.grad(logits.square().mean(), net.parameters())])
    assert not torch.equal(results[0][0], results[1][0])  # else nothing was fused
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).abs().max() <= 2e-4 * theirs.abs().max()


def _saved_bytes(net: EncoderDecoder, x: torch.Tensor) -> tuple[int, list[torch.Tensor]]:
    """What autograd keeps of one step, beside the parameters, and the gradients."""
    own = {p.data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        if saved.data_ptr() not in own:
            kept[saved.data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        loss = net(x).square().mean()
    kept_by_forward = sum(kept.values())
    return kept_by_forward, list(torch.autograd.grad(loss, list(net.parameters())))


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpointed_blocks_keep_less_and_give_the_same_gradients(backend: str) -> None:
    net, frugal, x = _small(), _small(checkpoint_blocks=True), torch.randn(1, 1, 9, 8, 7, 5)
    frugal.load_state_dict(net.state_dict())
    with use_backend(backend):
        (kept, expected), (kept_frugal, actual) = _saved_bytes(net, x), _saved_bytes(frugal, x)
        with torch.no_grad():
            assert torch.equal(net(x), frugal(x))
    assert kept_frugal < 0.8 * kept
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@needs_native
def test_one_argument_chooses_the_backend_of_a_network() -> None:
    x = torch.randn(1, 1, 6, 5, 4, 5)
    nets = {name: _small(blocks_down=(1, 1), blocks_up=(1,), backend=name) for name in ("auto", "native", "composed")}
    for net in nets.values():
        net.load_state_dict(nets["auto"].state_dict())
    with use_backend("auto", strict=False):
        lies_plain = {name: net(x).is_contiguous() for name, net in nets.items()}
        assert lies_plain == {"auto": True, "native": True, "composed": False}
        compiled = torch.compile(nets["composed"], fullgraph=True, backend="eager")(x)
        torch.testing.assert_close(compiled, nets["auto"](x))
        exported = torch.export.export(nets["composed"].eval(), (x,))
    assert not any("cardiac4d" in str(node.target) for node in exported.graph.nodes)
    with use_backend("composed"):
        assert not nets["auto"](x).is_contiguous()
        assert nets["native"](x).is_contiguous()
    with pytest.raises(ValueError, match=r"`backend` \(='cuda'\) must be one of auto, native, composed"):
        _small(backend="cuda")


@pytest.mark.filterwarnings("ignore::cardiac4d.ops.backend.BackendWarning")
def test_forward_mode_derivative_is_that_of_finite_differences() -> None:
    net, step = _small(blocks_down=(1, 1), blocks_up=(1,)).double(), 1e-6
    x, tangent = torch.randn(2, 1, 1, 6, 5, 4, 5, dtype=torch.float64)
    with use_backend("auto", strict=False):
        _, actual = torch.func.jvp(net, (x,), (tangent,))
    expected = (net(x + step * tangent) - net(x - step * tangent)) / (2 * step)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("final_norm_act", [False, True])
def test_probabilities_are_the_softmax_of_the_logits(backend: str, final_norm_act: bool) -> None:
    net, x = _small(final_norm_act=final_norm_act), torch.randn(2, 1, 9, 8, 7, 6)
    with use_backend(backend):
        expected = net(x).softmax(1)
        torch.testing.assert_close(net.probabilities(x), expected)
        with torch.inference_mode():
            torch.testing.assert_close(net.probabilities(x), expected)
            calls: list[nn.Module] = []
            net.head[-1].register_forward_hook(lambda module, *_: calls.append(module))
            torch.testing.assert_close(net.probabilities(x), expected)
    assert calls == [net.head[-1]]
    with pytest.raises(ValueError, match="must be"):
        net.probabilities(x[0])


def test_probabilities_in_3d() -> None:
    net, x = EncoderDecoder(spatial_dims=3, blocks_down=(1, 1), blocks_up=(1,)), torch.randn(1, 1, 9, 8, 7)
    torch.testing.assert_close(net.probabilities(x), net(x).softmax(1))
