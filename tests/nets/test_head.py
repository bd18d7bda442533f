from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from fewstep.model import embedded_model_of, model_of
from fewstep.nets.conv4 import Conv4
from fewstep.nets.head import head_of, without_head


class Scored(nn.Module):
    """A net that does something behind its head, and has a linear layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.classifier = nn.Sequential(OrderedDict(last=nn.Linear(4, 2)))

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.classifier(self.body(x).relu())


def test_the_head_is_the_last_linear_layer_under_the_users_own_name():
    assert head_of(Conv4().build((1, 28, 28), 5)) == "head"
    assert head_of(Scored()) == "classifier.last"
    assert head_of(nn.Conv2d(1, 1, 1)) is None


def test_without_its_head_a_net_returns_what_the_head_takes_in_and_stays_as_it_is_itself():
    net, x = Scored(), torch.randn(5, 3)
    before = net(x)
    embedding = without_head(net, "classifier.last")
    torch.testing.assert_close(embedding(x), 2 * net.body(x).relu())
    torch.testing.assert_close(net(x), before)


def test_the_names_of_the_head_are_those_of_its_parameters_alone():
    assert model_of(Scored()).head_names == ("classifier.last.weight", "classifier.last.bias")
    assert model_of(Scored(), head="body").head_names == ("body.weight", "body.bias")
    assert model_of(nn.Conv2d(1, 1, 1)).head_names == ()


def test_a_head_that_names_no_layer_is_refused_with_the_linear_layers_there_are():
    with pytest.raises(ValueError, match=r"head='fc' names no layer.*'body', 'classifier.last'"):
        model_of(Scored(), head="fc")


def test_a_net_without_a_linear_layer_has_no_head_to_be_made():
    with pytest.raises(ValueError, match=r"end it with an nn\.Linear"):
        embedded_model_of(nn.Conv2d(1, 1, 1), loss="mean_cross_entropy", norm="none")


def test_an_embedding_follows_its_model_to_evaluation_and_to_another_precision():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model = embedded_model_of(net, loss="mean_cross_entropy", norm="running").for_evaluation().to("cpu", torch.float64)
    assert model.embedding is not None
    assert model.embedding.is_evaluating
    assert model.embedding.net[0].weight.dtype == torch.float64
