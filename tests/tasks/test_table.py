from pathlib import Path

import numpy as np
import pytest
import torch

import fewstep

SHOPS = [f"shop {number}" for number in range(10)]


def table(path: Path, lines: list[str], *, header: str = "shop,region,week,sales") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def sales(shops: int = 10, weeks: int = 8) -> list[str]:
    """Sales are 100 · shop + week; even shops are in the north."""
    return [f"shop {s},{'south' if s % 2 else 'north'},{w},{100 * s + w}" for w in range(weeks) for s in range(shops)]


def trees(each: int = 4) -> list[str]:
    return [
        f"{name},{10 * i + m},{'old' if m % 2 else 'new'}" for i, name in enumerate("abcdefgh") for m in range(each)
    ]


@pytest.fixture
def shops(tmp_path):
    return table(tmp_path / "shops.csv", sales())


def test_groups_of_rows_are_regression_tasks_in_units_of_the_training_groups(shops):
    data = fewstep.from_csv(shops, target="sales", task="shop", held_out=(0.2, 0.3))
    assert [len(part) for part in (data.train, data.val, data.test)] == [5, 2, 3]
    trained = [int(group.name.split()[1]) for group in data.train]
    known = np.array([[100 * s + w for w in range(8)] for s in trained], dtype=float)
    (target,) = data.encoding.targets
    assert (target.mean, target.std) == pytest.approx((known.mean(), known.std()))
    assert data.encoding.names == ["region=north", "region=south", "week"]
    for group in (*data.train, *data.val, *data.test):
        rows = slice(group.start, group.start + group.size)
        number = int(group.name.split()[1])
        values = data.encoding.values(data.y[rows])[:, 0]
        torch.testing.assert_close(values, 100.0 * number + torch.arange(8), rtol=0, atol=1e-3)
        north, south, week = data.x[rows].T
        assert north.unique().tolist() == [float(number % 2 == 0)]
        assert torch.equal(south, 1 - north)
        expected = (torch.arange(8) - 3.5) / np.sqrt((8**2 - 1) / 12)  # of a uniform distribution over 0 to 7
        torch.testing.assert_close(week, expected.float())


def test_several_targets_are_several_outputs(shops):
    data = fewstep.from_csv(shops, target=["sales", "week"], task="shop")
    splits = data.tasks(shots=3, queries=5)
    assert (splits.train.inputs, splits.train.outputs) == ((2,), 2)
    task = splits.train.sample(0, "t", 0, 4)
    sold, week = data.encoding.values(task.query.y).unbind(-1)
    torch.testing.assert_close(sold % 100, week, rtol=0, atol=1e-3)


def test_rows_are_examples_of_the_classes_that_the_target_names(tmp_path):
    path = table(tmp_path / "trees.csv", trees(), header="tree,height,age")
    data = fewstep.from_csv(path, target="tree", held_out=(0.25, 0.25))
    assert sorted(c.name for part in (data.train, data.val, data.test) for c in part) == list("abcdefgh")
    assert data.encoding.names == ["height", "age=new", "age=old"]
    task = data.tasks(ways=2, shots=1, queries=3).test.sample(0, "t", 0, 30)
    (height, *_) = data.encoding.inputs
    labels = (torch.cat([task.support.x, task.query.x], 1)[..., 0] * height.std + height.mean).round() // 10
    order = torch.cat([task.support.y, task.query.y], 1)
    for found, y in zip(labels, order, strict=True):
        assert [len(found[y == way].unique()) for way in (0, 1)] == [1, 1]
    assert {"abcdefgh"[int(label)] for label in labels.unique()} == {c.name for c in data.test}


def test_a_class_with_too_few_rows_is_named(tmp_path):
    path = table(tmp_path / "trees.csv", [*trees(6), "oak,1,new", "oak,2,new"], header="tree,height,age")
    with pytest.raises(ValueError, match=r"class 'oak' of split '\w+' has 2 rows, needs 6 \(1 shot \+ 5 queries\)"):
        fewstep.from_csv(path, target="tree").tasks(ways=2)


def test_a_column_may_say_the_split_and_texts_that_did_not_train_are_no_input(tmp_path):
    lines = [f"{line},{'train' if int(line[5]) < 6 else 'test'}" for line in sales()]
    lines = [line.replace("south", "east") if line.endswith("test") else line for line in lines]
    path = table(tmp_path / "shops.csv", lines, header="shop,region,week,sales,part")
    data = fewstep.from_csv(path, target="sales", task="shop", split="part")
    assert [group.name for group in data.test] == ["shop 6", "shop 7", "shop 8", "shop 9"]
    assert data.encoding.names == ["region=north", "region=south", "week"]
    in_the_east = [row for group in data.test if int(group.name[5]) % 2 for row in data.x[group.start :][: group.size]]
    assert torch.stack(in_the_east)[:, :2].abs().sum() == 0


def test_other_rows_are_encoded_alike(shops):
    data = fewstep.from_csv(shops, target="sales", task="shop")
    row = {"region": "south", "week": " 7 ", "shop": "new", "sales": "?"}
    north, south, week = data.encoding.x([row])[0]
    assert (north, south) == (0, 1)
    assert week.item() == pytest.approx(3.5 / np.sqrt(63 / 12), rel=1e-6)
    with pytest.raises(ValueError, match="column 'week' has 'soon': expected a number"):
        data.encoding.x([{**row, "week": "soon"}])


def test_a_column_that_never_changes_is_zero(tmp_path):
    path = table(tmp_path / "a.csv", [f"{line},7" for line in sales()], header="shop,region,week,sales,floors")
    data = fewstep.from_csv(path, target="sales", task="shop")
    assert data.x[:, data.encoding.names.index("floors")].abs().max() == 0


def test_everything_that_is_wrong_with_the_cells_is_named_with_its_lines(tmp_path):
    lines = sales()
    for at, old, new in ((0, ",0,0", ",,0"), (3, ",0,300", ",nan,300"), (5, ",0,", ",soon,"), (9, "south", "")):
        lines[at] = lines[at].replace(old, new)
    lines[11] = lines[11].replace("101", "")
    lines += [line.replace("shop 9", "") for line in lines[-1:]]
    path = table(
        tmp_path / "shops.csv",
        [f"{line},text{i}" for i, line in enumerate(lines * 3)],
        header="shop,region,week,sales,note",
    )
    with pytest.raises(ValueError, match="the data have 6 problems") as error:
        fewstep.from_csv(path, target="sales", task="shop")
    for said in (
        "column 'shop' has no value in 3 lines (82, 163, 244)",
        "column 'week' has no value in 6 lines (2, 5, 83, ...)",
        "column 'week' holds numbers, but 'soon' and the like in 3 lines (7, 88, 169)",
        "column 'region' has no value in 3 lines (11, 92, 173)",
        "column 'sales' has no value in 3 lines (13, 94, 175)",
        "column 'note' has ",
    ):
        assert f"- {said}" in str(error.value)
    assert "ignore=['note']" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target": "sale", "task": "shop"}, r"no column 'sale', but shop, region, week, sales; did you mean 'sales'"),
        ({"target": "sales", "task": "shop", "delimiter": ";"}, r"no column 'sales', but shop,region,week,sales"),
        ({"target": "region", "task": "shop"}, "the target region holds texts: with task= it is numbers"),
        ({"target": "sales", "task": "shop", "ignore": ["region", "week"]}, "none is left to predict from"),
        (
            {"target": "sales", "task": "shop", "split": "region"},
            "split has 'north', 'south': expected train, val, test",
        ),
    ],
)
def test_what_does_not_fit_the_table_is_an_error(arguments, said, shops):
    with pytest.raises(ValueError, match=said):
        fewstep.from_csv(shops, **arguments)


def test_values_for_classes_are_an_error_that_says_what_a_regression_needs(tmp_path):
    path = table(tmp_path / "shops.csv", [f"{line}.5" for line in sales()])
    with pytest.raises(ValueError, match=r"'sales' holds values, 0.5 for one: for a regression say with task="):
        fewstep.from_csv(path, target="sales")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"a,b\n", "is empty"),
        (b"a,a\n1,2\n", "two columns called 'a'"),
        (b"a,b\n1,2\n3\n", "line 3 of .* has 1 cell, the first 2"),
        (b"a,b\n1,\xff\n", "is not in UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(content, said, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        fewstep.from_csv(tmp_path / "a.csv", target="a", task="b")


def test_a_table_of_a_spreadsheet_is_read_with_its_mark_its_delimiter_and_its_empty_lines(tmp_path):
    lines = [line.replace(",", ";") for line in sales()]
    path = tmp_path / "shops.csv"
    path.write_bytes(("shop ; region;week;sales\r\n" + "\r\n".join(lines) + "\r\n;;;\r\n").encode("utf-8-sig"))
    data = fewstep.from_csv(path, target="sales", task="shop", delimiter=";")
    assert len(data.x) == 80
    assert data.encoding.names == ["region=north", "region=south", "week"]


def test_a_table_trains_at_once(shops):
    data = fewstep.from_csv(shops, target="sales", task="shop")
    tasks = data.tasks(shots=3, queries=4, order="given")
    run = fewstep.train(torch.nn.Linear(3, 1), fewstep.MAML(inner_lr=0.1), tasks, updates=2, loss="mean_squared_error")
    assert fewstep.evaluate(run, tasks.test, count=4).metric == "mse"


@pytest.mark.parametrize("delimiter", ["", ",,", "\n", '"'])
def test_a_delimiter_is_one_character(tmp_path, delimiter):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="expected one character"):
        fewstep.from_csv(tmp_path / "t.csv", target="b", delimiter=delimiter)


def test_a_cell_longer_than_any_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "x" * 200_000 + ",2\n")
    with pytest.raises(ValueError, match=r"t\.csv is no table of texts and numbers \(field larger than"):
        fewstep.from_csv(tmp_path / "t.csv", target="b")
