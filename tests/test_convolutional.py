"""The convolutional net: its grid, what one picture gives beside others, and that places know where they are."""

import torch

from unrolled.convolutional import Convolutional, grid


def net(*channels: int, blocks: int = 1) -> Convolutional:
    torch.manual_seed(1)
    built = Convolutional(channels, blocks)
    for parameter in built.parameters():  # blocks begin as nothing
        torch.nn.init.normal_(parameter, std=0.1)
    return built


def test_a_picture_becomes_the_grid_that_is_promised():
    for height, width in ((32, 32), (30, 17), (8, 8)):
        rows, columns = grid(height, width, 3)
        assert net(8, 16, 24).map(torch.rand(2, 3, height, width)).shape == (2, 24, rows, columns)
        assert net(8, 16, 24)(torch.rand(2, 3, height, width)).shape == (2, rows * columns, 24)


def test_a_picture_alone_gives_what_it_gives_in_a_batch_and_in_training():
    built, pictures = net(16, 32).eval(), torch.rand(5, 3, 16, 16)
    together = built(pictures)
    torch.testing.assert_close(built(pictures[3:4]), together[3:4])
    torch.testing.assert_close(built.train()(pictures), together)


def test_places_are_those_of_the_picture_row_by_row():
    dark, lit = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    lit[:, :, :4, 24:28] = 1  # in the first row of eight, near its end
    built = net(16, 16, blocks=0)
    change = (built.stages(torch.cat((lit, lit[:, :2]), 1)) - built.stages(torch.cat((dark, dark[:, :2]), 1))).abs().sum(1)
    row, column = divmod(int(change[0].argmax()), 8)
    assert (row, column) in {(0, 6), (0, 7), (1, 6)}


def test_equal_pixels_at_different_places_are_told_apart():
    places = net(16, 16)(torch.full((1, 3, 64, 64), 0.5))[0].reshape(16, 16, 16)
    inner = places[4:-4, 4:-4]  # far from the edges, of which only the coordinates tell
    assert (inner[0, 0] - inner[-1, -1]).abs().max() > 0.01


def test_the_default_net_has_about_a_million_weights_and_every_one_is_trained():
    built = Convolutional()
    assert 1.0e6 < sum(p.numel() for p in built.parameters()) < 1.3e6
    built(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for name, p in built.named_parameters() if "norm" not in name)
