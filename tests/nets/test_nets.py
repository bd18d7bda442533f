from itertools import accumulate
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builders import seed, smooth_net, smooth_task
from fewstep.algorithms.maml import MAML
from fewstep.learner import learner_of
from fewstep.nets.conv4 import Conv4
from fewstep.nets.imported import Imported
from fewstep.nets.mlp import MLP
from fewstep.nets.resnet12 import ResNet12
from fewstep.tasks.sinusoid import Sinusoid

OWN_NET = """
from torch import nn

def linear(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(25, outputs))

def text(outputs):
    return "not a net"

def of_inputs(*, inputs, outputs, hidden=3):
    channels, height, width = inputs
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, hidden), nn.Linear(hidden, outputs))

def outputs_last(hidden=3, *, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(25, hidden), nn.Linear(hidden, outputs))

def with_options(ways, **options):
    return nn.Sequential(nn.Flatten(), nn.Linear(25, ways, **options))

def needs_width(width, outputs):
    return nn.Linear(width, outputs)

ready = nn.Linear(25, 4)
number = 4
"""


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def sides_after_blocks(net: nn.Sequential, x: torch.Tensor) -> list[int]:
    """The height after each of the four blocks."""
    sides = []
    for i in range(1, 5):
        x = net.get_submodule(f"block{i}")(x)
        assert x.shape[1] == net.block1.conv.out_channels
        assert x.shape[2] == x.shape[3]
        sides.append(x.shape[2])
    return sides


def test_max_pool_conv4_halves_28_pixels_to_one_and_has_112261_parameters():
    """Convolutions 64·9 + 64 = 640 and 3 · (64·64·9 + 64) = 110784, norms 4 · 128 = 512, head 64·5 + 5 = 325."""
    net = Conv4().build((1, 28, 28), 5)
    assert count(net) == 640 + 110784 + 512 + 325
    assert sides_after_blocks(net, torch.zeros(2, 1, 28, 28)) == [14, 7, 3, 1]
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 5)


def test_strided_conv4_rounds_up_and_averages_over_positions():
    """A stride of 2 with padding 1 makes ⌈side / 2⌉: 28, 14, 7, 4, 2; the head sees the mean: 64 features."""
    net = Conv4(downsample="stride").build((1, 28, 28), 5)
    assert count(net) == 640 + 110784 + 512 + 325
    assert sides_after_blocks(net, torch.zeros(2, 1, 28, 28)) == [14, 7, 4, 2]
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 5)
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in net.modules())


def test_strided_conv4_flattened_has_the_256_features_of_official_reptile():
    """28, 14, 7, 4, 2: 64 · 2 · 2 = 256 features to the head."""
    net = Conv4(downsample="stride_flatten").build((1, 28, 28), 5)
    assert count(net) == 640 + 110784 + 512 + 256 * 5 + 5
    assert sides_after_blocks(net, torch.zeros(2, 1, 28, 28)) == [14, 7, 4, 2]
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 5)


def test_the_activation_of_an_mlp_is_its_field():
    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh}
    for name, kind in kinds.items():
        layers = list(MLP(hidden=(4, 3), activation=name).build((1,), 1))
        assert [type(layer) for layer in layers[2::2]] == [kind, kind]


def test_conv4_on_84_pixels_of_colour_has_the_800_features_of_mini_imagenet():
    """84, 42, 21, 10, 5: 32 · 5 · 5 = 800. Parameters: 3·32·9 + 32, 3 · (32·32·9 + 32), 4 · 64, 800·5 + 5."""
    net = Conv4(filters=32).build((3, 84, 84), 5)
    assert net.head.in_features == 800
    assert count(net) == 896 + 27744 + 256 + 4005


@pytest.mark.parametrize(("activation", "layer"), [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU)])
def test_conv4_has_the_activation_it_is_asked_for_in_every_block(activation: str, layer: type[nn.Module]):
    net = Conv4(filters=2, activation=activation).build((1, 16, 16), 5)
    assert sum(isinstance(module, layer) for module in net.modules()) == 4


def test_resnet12_has_the_12424320_parameters_of_its_backbone_and_a_head():
    """A block from i to c channels: 9ic + 2 · 9cc, a shortcut of ic, four norms of 2c; the head is 640·5 + 5."""
    blocks = [(3, 64), (64, 160), (160, 320), (320, 640)]
    net = ResNet12().build((3, 84, 84), 5)
    assert count(net) == sum(9 * i * c + 18 * c * c + i * c + 8 * c for i, c in blocks) + 3205 == 12424320 + 3205


def test_a_block_of_resnet12_is_the_sum_of_three_convolutions_and_a_shortcut_rectified_and_pooled():
    """84 pixels come to 42, 21, 10, 5."""
    net = ResNet12(widths=(2, 3, 4, 5)).build((3, 84, 84), 6)
    x = torch.randn(2, 3, 84, 84, generator=seed(0))
    block = net.block1
    y, conv = x, F.conv2d
    for i in (1, 2, 3):
        y = conv(y, block.get_parameter(f"body.conv{i}.weight"), padding=1)
        y = normalised(y) if i == 3 else F.leaky_relu(normalised(y), 0.1)
    y = F.max_pool2d(F.leaky_relu(y + normalised(conv(x, block.shortcut.conv.weight)), 0.1), 2)
    torch.testing.assert_close(block(x), y)
    assert [tuple(y.shape[1:]) for y in accumulate(net[:4], lambda y, layer: layer(y), initial=x)][1:] == [
        (2, 42, 42),
        (3, 21, 21),
        (4, 10, 10),
        (5, 5, 5),
    ]
    assert net(x).shape == (2, 6)


def normalised(x: torch.Tensor) -> torch.Tensor:
    """By the statistics of the batch, as a fresh batch norm does in training."""
    return (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()


def test_resnet12_refuses_what_it_cannot_halve_four_times():
    with pytest.raises(ValueError, match="16×16"):
        ResNet12().build((3, 84, 15), 5)
    with pytest.raises(ValueError, match="channels, height, width"):
        ResNet12().build((28,), 5)


def test_conv4_refuses_what_it_cannot_halve_four_times():
    with pytest.raises(ValueError, match="16×16"):
        Conv4().build((1, 15, 28), 5)
    with pytest.raises(ValueError, match="channels, height, width"):
        Conv4().build((28,), 5)


def test_the_sinusoid_mlp_has_1761_parameters():
    """1·40 + 40, 40·40 + 40, 40·1 + 1."""
    net = MLP().build((1,), 1)
    assert count(net) == 80 + 1640 + 41
    assert net(torch.zeros(7, 1)).shape == (7, 1)


def test_an_mlp_flattens_images_and_may_have_no_hidden_layer():
    """28·28 inputs, one linear map to 5 outputs."""
    net = MLP(hidden=()).build((1, 28, 28), 5)
    assert count(net) == 784 * 5 + 5
    assert net(torch.zeros(3, 1, 28, 28)).shape == (3, 5)


def test_a_users_own_net_is_built_from_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_net_on_path.py").write_text(OWN_NET)
    monkeypatch.syspath_prepend(tmp_path)
    net = Imported(path="own_net_on_path:linear").build((1, 5, 5), 4)
    assert net(torch.zeros(2, 1, 5, 5)).shape == (2, 4)


def test_a_users_own_net_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_net_here.py").write_text(OWN_NET)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")  # so that sys.path is put back afterwards
    monkeypatch.chdir(tmp_path)
    assert count(Imported(path="own_net_here:linear").build((1, 5, 5), 4)) == 25 * 4 + 4


@pytest.mark.parametrize("name", ["of_inputs", "outputs_last"])
def test_a_users_own_net_is_given_inputs_and_outputs_by_name_where_it_names_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """25 inputs to 3 hidden units to 4 outputs: 78 + 16 parameters."""
    (tmp_path / "own_net_named.py").write_text(OWN_NET)
    monkeypatch.syspath_prepend(tmp_path)
    assert count(Imported(path=f"own_net_named:{name}").build((1, 5, 5), 4)) == 78 + 16


def test_what_a_users_own_net_calls_otherwise_is_the_number_of_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`inputs` are not forced on a `**options` that would hand them on."""
    (tmp_path / "own_net_options.py").write_text(OWN_NET)
    monkeypatch.syspath_prepend(tmp_path)
    assert count(Imported(path="own_net_options:with_options").build((1, 5, 5), 4)) == 25 * 4 + 4


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("own_net_wrong", "not of the form"),
        (":linear", "not of the form"),
        ("own_net_wrong:", "not of the form"),
        ("no_such_module_at_all:Net", "cannot be imported: No module named 'no_such_module_at_all'"),
        ("own_net_wrong:missing", "cannot be imported: .*missing"),
        ("own_net_wrong:text", "made a str, expected an nn.Module"),
        ("own_net_wrong:ready", "is a net already, expected a class or function that makes a net"),
        ("own_net_wrong:number", "is a int, expected a class or function that makes a net"),
        ("own_net_wrong:needs_width", r"takes \(width, outputs\), expected \(outputs\) or .*write a function of these"),
        ("own_net_wrong:nn.Linear", "cannot be imported"),
        ("own_net_broken:Net", "cannot be imported: .*own_net_broken.py, line 1"),
    ],
)
def test_a_wrong_import_path_says_what_is_wrong(
    path: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "own_net_wrong.py").write_text(OWN_NET)
    (tmp_path / "own_net_broken.py").write_text("class Net(:")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=problem):
        Imported(path=path).build((1, 5, 5), 4)


def test_a_net_of_the_wrong_width_is_refused_with_the_width_that_is_wanted():
    learner = learner_of(smooth_net(ways=4), MAML(inner_lr=0.1))
    with pytest.raises(ValueError, match=r"\[6, 4\].* 3 ways.*\[6, 3\]"):
        learner.checked(smooth_task(ways=3, shots=2), 3)


def test_a_net_whose_output_is_not_a_table_is_refused():
    net = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1), nn.Flatten(0))
    learner = learner_of(net, MAML(inner_lr=0.1), loss="mean_squared_error")
    with pytest.raises(ValueError, match=r"\[10\].*target dimensions"):
        learner.checked(Sinusoid().sample(0, "train", 0, 1).select(0), 1)


def test_a_net_of_the_right_width_passes():
    learner_of(smooth_net(ways=3), MAML(inner_lr=0.1)).checked(smooth_task(ways=3), 3)


def test_a_net_with_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match="nothing to learn"):
        learner_of(nn.Flatten(), MAML(inner_lr=0.1))
