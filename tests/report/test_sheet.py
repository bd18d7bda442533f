import pytest
import torch
from PIL import Image, ImageChops

from fewstep.algorithms.maml import MAML
from fewstep.core import Examples, Task
from fewstep.evaluation import Evaluation
from fewstep.learner import Learner, learner_of
from fewstep.report import canvas, sheet
from fewstep.seeding import seeded
from fewstep.tasks.episodes import ImageTasks
from run_builders import pattern_tasks


class ReadsClass(torch.nn.Module):
    """Says that an image is of class v·ways, where v is its first pixel, with logits 0 and log 3."""

    def __init__(self, ways: int) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))
        self.ways = ways

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        told = (x[:, 0, 0, 0] * self.ways).long()
        return torch.nn.functional.one_hot(told, self.ways) * torch.tensor(3.0).log() + self.nothing


def constant_images(values: list[float]) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2)


def linear_learner(tasks: ImageTasks) -> Learner:
    size = torch.tensor(tasks.inputs).prod()
    with seeded(0, "net"):
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(size), tasks.ways))
    return learner_of(net, MAML(inner_lr=0.1))


def test_tiles_say_label_verdict_probability_and_truth():
    support = Examples(constant_images([0.0, 0.5]), torch.tensor([0, 1]))
    query = Examples(constant_images([0.1, 0.2]), torch.tensor([0, 1]))  # both told to be of class 0, labelled 1
    shown = sheet.judge(learner_of(ReadsClass(2), MAML(inner_lr=0.1)), Task(support, query), 1, 7)
    assert shown.title == "Test task 7: 1 of 2 queries right"
    assert [tile.label for tile in shown.support] == ["1", "2"]
    assert [tile.label for tile in shown.query] == ["✓ 1", "✗ 1"]
    assert [tile.detail for tile in shown.query] == ["75 %", "75 %\ntruth 2"]  # softmax(log 3, 0) = 3/4, 1/4
    assert [tile.color for tile in shown.query] == [canvas.GREEN, canvas.ORANGE]


@pytest.mark.parametrize(
    ("ways", "shots", "expected"),
    [(2, 3, [0, 1, 2, 3, 4, 5]), (20, 2, list(range(0, 40, 2))), (30, 1, list(range(25)))],
)
def test_support_is_cut_to_what_fits_with_all_classes_as_far_as_there_is_room(ways, shots, expected):
    assert sheet.shown_support(torch.arange(ways).repeat_interleave(shots)) == expected


def test_queries_are_cut_to_an_even_spread_and_the_title_says_so():
    support = Examples(constant_images([0.0, 0.5]), torch.tensor([0, 1]))
    query = Examples(constant_images([0.1] * 20 + [0.6] * 20), torch.arange(2).repeat_interleave(20))
    shown = sheet.judge(learner_of(ReadsClass(2), MAML(inner_lr=0.1)), Task(support, query), 0, 1)
    assert shown.title == "Test task 1: 40 of 40 queries right, 10 of them shown"
    assert [tile.label for tile in shown.query] == ["✓ 1"] * 5 + ["✓ 2"] * 5


def test_images_are_drawn_as_they_are_and_standardised_ones_scaled_into_range():
    assert sheet.image(torch.tensor([[[0.25, 0.5]]])).tolist() == [[0.25, 0.5]]
    assert sheet.image(torch.tensor([[[-1.0, 3.0]]])).tolist() == [[0.0, 1.0]]
    assert sheet.image(torch.zeros(3, 4, 5)).shape == (4, 5, 3)


@pytest.mark.parametrize(("ways", "shots", "queries"), [(3, 1, 1), (30, 5, 9)])
def test_sheet_of_any_ways_shots_and_queries_stays_readable(ways, shots, queries, tmp_path):
    tasks = pattern_tasks("test", sizes=(14,) * 30, ways=ways, shots=shots, queries=queries)
    path = sheet.draw(tasks, linear_learner(tasks), Evaluation(tasks=5, steps=1), tmp_path / "tasks.png")
    with Image.open(path) as picture:
        assert picture.width == 1280
        assert picture.height < 3 * picture.width
        assert len(picture.convert("RGB").getcolors(maxcolors=2**20)) > 50


def test_sheet_of_colour_images_has_colour_in_its_support_half(tmp_path):
    gray = pattern_tasks("test", side=4)
    tasks = ImageTasks(
        split="test",
        images=gray.images.repeat(3, axis=1) // [[[[1]], [[2]], [[4]]]],
        classes=gray.classes,
        ways=3,
        shots=1,
        queries=1,
    )
    path = sheet.draw(tasks, linear_learner(tasks), Evaluation(tasks=5, steps=1), tmp_path / "tasks.png")
    with Image.open(path) as picture:
        red, _, blue = picture.convert("RGB").crop((0, 0, 560, picture.height)).split()
    assert ImageChops.difference(red, blue).getextrema()[1] > 100
