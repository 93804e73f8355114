"""Depthwise convolutions on a CPU and fixed statistics in the kernels: the numbers of plain PyTorch, gradients too."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.detection.backbones import EfficientNetLite0, Unit
from pipeline.detection.depthwise import depthwise


@pytest.mark.parametrize(("side", "dilation"), [(3, 1), (5, 1), (3, 2), (5, 2), (5, 4)])
@pytest.mark.parametrize(("height", "width"), [(9, 7), (8, 12), (2, 3)])
def test_maps_and_all_gradients_are_those_of_a_grouped_convolution(side, dilation, height, width):
    torch.manual_seed(0)
    given = [torch.randn(shape, requires_grad=True) for shape in ((2, 20, height, width), (20, 1, side, side), (20,))]
    maps, kernels, offsets = given
    padding = dilation * (side // 2)
    plain = F.conv2d(maps, kernels, offsets, padding=padding, dilation=dilation, groups=20)
    made = depthwise(maps, kernels, offsets, dilation)
    assert torch.allclose(made, plain, atol=1e-5)
    seen = torch.randn_like(plain)
    for ours, theirs in zip(torch.autograd.grad(made, given, seen), torch.autograd.grad(plain, given, seen), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)


def test_under_bf16_it_is_as_exact_as_bf16():
    torch.manual_seed(0)
    maps, kernels = torch.randn(2, 32, 11, 9).bfloat16(), torch.randn(32, 1, 5, 5).bfloat16().requires_grad_()
    exact = F.conv2d(maps.double(), kernels.detach().double().requires_grad_(), padding=4, dilation=2, groups=32)
    made = depthwise(maps, kernels, None, 2)
    assert made.dtype == torch.bfloat16
    assert (made.double() - exact).abs().max() < 2**-7 * exact.abs().max()


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 1, 8), (5, 2, 8), (3, 2, 1)])
def test_fixed_statistics_in_the_kernels_give_what_normalisation_gives(kernel, stride, groups):
    torch.manual_seed(0)
    unit = Unit(8, 8, kernel, stride, groups=groups).eval()
    with torch.no_grad():
        for value in (unit[1].weight, unit[1].bias, unit[1].running_mean):
            value.normal_()
        unit[1].running_var.uniform_(0.5, 2)
    maps = torch.randn(2, 8, 10, 7, requires_grad=True)
    made, plain = unit(maps), unit[2](unit[1](unit[0](maps)))
    assert torch.allclose(made, plain, atol=1e-5)
    given = [maps, *unit.parameters()]
    seen = torch.randn_like(plain)
    for ours, theirs in zip(torch.autograd.grad(made, given, seen), torch.autograd.grad(plain, given, seen), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)


def test_statistics_are_learned_where_they_are_not_fixed():
    backbone = EfficientNetLite0(16).train()
    backbone(torch.rand(2, 3, 64, 32))
    assert (backbone.blocks[5].depthwise[1].running_mean != 0).any()
