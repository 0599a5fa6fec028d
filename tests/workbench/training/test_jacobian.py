"""The Gauss–Newton matrix of networks of convolutions, against autograd, one crop at a time."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from esr_upscale import nets
from esr_upscale.models import resolve
from esr_workbench.training.jacobian import curvature, rows

MODELS = ["esr_tr_x2_k3_c2", "esr_cnn_x2", "espcn_x3_d0_s3", "espcn_x2_d4_s3", "fsrcnn_x2", "fsrcnn_x3_d5_s3_m2"]


def _module(name: str) -> nn.Module:
    torch.manual_seed(3)
    return nets.build_module(dataclasses.replace(resolve(name), padding="zeros"))


def _gradient(y: Tensor, module: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(y, list(module.parameters()), retain_graph=True)])


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_the_derivative_of_signed_outputs(name: str) -> None:
    module, x, generator = _module(name), torch.rand(3, 1, 9, 11), torch.Generator()
    actual = rows(module, module, x, generator.manual_seed(1))
    y = module(x)
    signs = torch.randint(0, 2, y.shape, generator=generator.manual_seed(1)) * 2.0 - 1
    for row, part in zip(actual, (y * signs).flatten(1).sum(1) / y[0].numel() ** 0.5, strict=True):
        expected = _gradient(part, module)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=float(expected.abs().max()) * 1e-5)


def test_the_matrix_is_that_of_the_outputs() -> None:
    # Over many signs the mean of row·rowᵀ is JᵀJ over the pixels, worked out here pixel by pixel.
    module = _module("espcn_x2_d0_s1")
    x = torch.rand(2, 1, 3, 3)
    jacobian = torch.stack([_gradient(pixel, module) for pixel in module(x).flatten()])
    expected = jacobian.T @ jacobian / len(jacobian)
    actual = curvature(module, module, x.repeat(4000, 1, 1, 1), torch.Generator().manual_seed(2))
    assert float((actual - expected).norm() / expected.norm()) < 0.05
