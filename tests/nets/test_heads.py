import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import seed
from fewstep.nets.heads import AttentionHead, CosineHead, head_with


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seed(0), dtype=torch.float64)


def test_a_head_is_told_by_the_names_of_its_tensors_and_holds_them():
    scale, labels = torch.tensor(3.0, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    linear = {"weight": drawn(4, 5), "bias": drawn(4)}
    cosine = {"weight": drawn(4, 5), "scale": scale}
    attention = {"keys": drawn(4, 5), "labels": labels, "scale": scale}
    for tensors, kind in ((linear, nn.Linear), (cosine, CosineHead), (attention, AttentionHead)):
        made = head_with(tensors)
        assert type(made) is kind
        torch.testing.assert_close(dict(made.state_dict()), tensors, rtol=0, atol=0)


def test_other_tensors_make_no_head():
    with pytest.raises(ValueError, match=r"no head has the tensors \['bias'\]"):
        head_with({"bias": drawn(4)})


def test_a_cosine_head_returns_scaled_cosines():
    x, weight = drawn(2, 5), drawn(3, 5) + 1
    expected = 3 * torch.stack([torch.stack([F.cosine_similarity(a, b, dim=0) for b in weight]) for a in x])
    torch.testing.assert_close(head_with({"weight": weight, "scale": torch.tensor(3.0)})(x), expected)


def test_an_attention_head_returns_log_probabilities_of_which_the_nearest_has_most():
    keys = torch.eye(3, dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    head = head_with({"keys": keys, "labels": labels, "scale": torch.tensor(2.0, dtype=torch.float64)})
    found = head(7 * keys[:1]).exp()
    near = torch.tensor(2.0, dtype=torch.float64).exp()
    torch.testing.assert_close(found, torch.stack([near, near.new_tensor(2.0)])[None] / (near + 2))
