import pytest
import torch
from torch import nn

from builders import smooth_net
from fewstep.rebuilding import rebuilt


def test_a_head_of_another_width_is_made_anew_and_all_else_stays():
    net = smooth_net(ways=3).eval()
    weight, bias = torch.randn(7, 27, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    wide = rebuilt(net, "support", "4", {"4.weight": weight, "4.bias": bias})
    x = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(wide(x), net[:4](x) @ weight.T + bias)
    assert wide.state_dict().keys() == net.state_dict().keys()
    assert len(net[4].weight) == 3


def test_a_head_that_has_no_bias_gets_one_where_the_adapted_one_has():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    found = rebuilt(net, "none", "1", {"1.weight": torch.zeros(3, 4), "1.bias": torch.tensor([1.0, 2.0, 3.0])})
    assert found(torch.zeros(1, 4)).tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("tensors", [{"0.weight": torch.zeros(2, 2)}, {"elsewhere.weight": torch.zeros(2)}])
def test_tensors_of_another_net_are_refused(tensors):
    with pytest.raises(ValueError, match="tensors are of another net than Sequential"):
        rebuilt(smooth_net(), "support", "4", tensors)
