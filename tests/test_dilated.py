"""WaveNet's network: causal, the same step by step as over a whole sequence."""

import pytest
import torch

from unrolled.dilated import WaveNet


@pytest.fixture(params=[(256, 2), (0, 3)], ids=["levels", "samples"])
def net(request):
    levels, kernel = request.param
    torch.manual_seed(0)
    return WaveNet(levels, 10, residual=8, skip=12, dilations=[1, 2, 4] * 2, kernel=kernel, condition=3)


def sound(net, batch=2, length=50):
    return torch.randint(256, (batch, length)) if net.levels else torch.randn(batch, length)


@torch.no_grad()
def test_step_by_step_is_the_whole(net):
    x, condition = sound(net), torch.randn(2, 50, 3)
    state, steps = net.start(2), []
    for t in range(50):
        out, state = net.step(x[:, t], state, condition[:, t])
        steps.append(out)
    assert torch.allclose(torch.stack(steps, dim=1), net(x, condition), atol=1e-6)


@torch.no_grad()
def test_an_output_rests_on_its_field_alone(net):
    x, at = sound(net), 10
    other = x.clone()
    other[:, at] = 255 - x[:, at]
    changed = (net(x) != net(other)).any(dim=2).any(dim=0)
    assert not changed[:at].any() and not changed[at + net.field :].any()
    assert changed[at] and changed[at + net.field - 1]


def test_a_later_sample_has_no_gradient_to_an_earlier_output():
    torch.manual_seed(0)
    net = WaveNet(0, 4, residual=8, skip=12, dilations=[1, 2, 4], kernel=2)
    x = torch.randn(1, 30, requires_grad=True)
    net(x)[:, 12].sum().backward()
    seen = x.grad[0] != 0
    assert not seen[13:].any() and seen[12] and seen[12 - net.field + 1] and not seen[: 12 - net.field + 1].any()


@torch.no_grad()
def test_outputs_on_whole_fields_are_those_of_the_whole(net):
    x, condition = sound(net, length=60), torch.randn(2, 60, 3)
    out = net.whole(x, condition)
    assert out.shape == (2, 60 - net.field + 1, 10)
    assert torch.allclose(out, net(x, condition)[:, net.field - 1 :], atol=1e-6)
    assert torch.allclose(net.whole(x, condition[:, :1]), net(x, condition[:, :1])[:, net.field - 1 :], atol=1e-6)


@torch.no_grad()
def test_a_layer_is_a_convolution(net):
    x, (W, b) = torch.randn(2, 8, 40), (net.gates[2].weight, net.gates[2].bias)
    seen = torch.cat([x[:, :, 4 * k : 40 - 4 * (net.kernel - 1 - k)] for k in range(net.kernel)], dim=1).transpose(1, 2)
    wanted = torch.nn.functional.conv1d(x, W.view(16, net.kernel, 8).transpose(1, 2), b, dilation=4)
    assert torch.allclose(net.gates[2](seen).transpose(1, 2), wanted, atol=1e-5)
