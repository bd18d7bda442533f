import itertools
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fewstep.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from fewstep.core import Meta, Params
from fewstep.durable import replace_file
from fewstep.journal import put_meta
from run_builders import identical, sinusoid_learner, small_disk


def checkpoint_after(updates: int, *, identity: str = "recipe", width: int = 4) -> Checkpoint:
    """Two groups and a state, after so many updates of Adam with two settings on random gradients."""
    generator = torch.Generator().manual_seed(0)
    theta = {"a.weight": torch.randn(width, 3, generator=generator), "a.bias": torch.zeros(width)}
    meta = Meta({"theta": theta, "inner_lr": {"a.weight": torch.tensor(0.4)}}, {"moments": {"a": torch.ones(2)}})
    groups = [{"params": list(group.values()), "lr": 0.1 * (i + 1)} for i, group in enumerate(meta.learned.values())]
    optimizer = torch.optim.Adam(groups)
    for _ in range(updates):
        for group in meta.learned.values():
            for tensor in group.values():
                tensor.grad = torch.randn(tensor.shape, generator=generator)
        optimizer.step()
    return Checkpoint(updates, 12.5, identity, meta, optimizer.state_dict(), {"recipe": {"name": "x"}})


def of_tensors(theta: Params) -> Checkpoint:
    return Checkpoint(0, 0.0, "", Meta({"theta": theta}, {}), {"param_groups": [], "state": {}}, {})


def same_tree(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_tree(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_tree(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def with_header(path: Path, **changes: object) -> None:
    """Rewrite a checkpoint with other values in its header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["fewstep"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"fewstep": json.dumps({**header, **changes})})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "checkpoint-00000003.safetensors"


@pytest.mark.parametrize("updates", [0, 1, 3])
def test_what_is_saved_is_loaded(updates, path):
    saved = checkpoint_after(updates)
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path, identity="recipe")
    assert (loaded.update, loaded.seconds, loaded.identity) == (updates, 12.5, "recipe")
    assert loaded.about == {"recipe": {"name": "x"}}
    assert identical(loaded.meta, saved.meta)
    assert same_tree(loaded.optimizer, saved.optimizer)


def test_adam_goes_on_from_a_loaded_state_as_if_it_had_never_stopped(path):
    saved = checkpoint_after(3)
    save_checkpoint(path, saved)
    loaded, results = load_checkpoint(path), []
    for checkpoint in (saved, loaded):
        theta, rates = (checkpoint.meta.learned[group] for group in ("theta", "inner_lr"))
        groups = [[theta["a.weight"], theta["a.bias"]], [rates["a.weight"]]]
        optimizer = torch.optim.Adam([{"params": group} for group in groups])
        optimizer.load_state_dict(checkpoint.optimizer)
        for tensor in itertools.chain(*groups):
            tensor.grad = torch.ones_like(tensor)
        optimizer.step()
        results.append(checkpoint.meta)
    assert identical(*results)
    assert not identical(results[0], checkpoint_after(3).meta)


def test_tensors_in_odd_memory_layouts_are_saved_as_they_look(path):
    square = torch.arange(16.0).reshape(4, 4)
    odd = {"turned": square.T, "strided": square[::2], "shared": square, "again": square, "scalar": torch.tensor(3.0)}
    save_checkpoint(path, of_tensors(odd))
    loaded = load_checkpoint(path).meta.learned["theta"]
    assert all(torch.equal(loaded[name], odd[name]) for name in odd)


def test_a_parameter_may_have_slashes_and_dots_in_its_name(path):
    saved = of_tensors({"body/0.weight": torch.ones(2)})
    save_checkpoint(path, saved)
    assert identical(load_checkpoint(path).meta, saved.meta)


def test_a_truncated_file_is_an_error_that_names_it_at_every_length(path):
    save_checkpoint(path, checkpoint_after(3))
    whole = path.read_bytes()
    for length in {0, 1, 7, 8, 9, len(whole) - 1, *range(0, len(whole), 61)}:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=re.escape(f"{path} is not a whole fewstep checkpoint")):
            load_checkpoint(path)


@pytest.mark.parametrize("content", [b"not a checkpoint" * 20, b"\x80\x04\x95" + bytes(50)], ids=["text", "pickle"])
def test_another_kind_of_file_is_an_error_that_names_it(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_checkpoint(path)


def test_a_safetensors_file_of_another_program_is_an_error_that_names_it(path):
    save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_checkpoint(path)


def test_another_format_number_is_an_error_with_both_numbers(path):
    save_checkpoint(path, checkpoint_after(1))
    with_header(path, format=99)
    with pytest.raises(ValueError, match=r"by a newer fewstep \(checkpoints of format 99, this reads 1\): upgrade"):
        load_checkpoint(path)


def test_a_checkpoint_of_another_recipe_is_an_error_with_both_identities(path):
    save_checkpoint(path, checkpoint_after(1, identity="mine"))
    with pytest.raises(ValueError, match=r"another recipe, net, tasks or seed .*mine, expected yours"):
        load_checkpoint(path, identity="yours")


@pytest.mark.parametrize("hidden", [9, 1])  # of 1, every tensor would broadcast
def test_tensors_of_another_shape_do_not_fit_a_learner(hidden, path):
    learner, other = sinusoid_learner(hidden=8), sinusoid_learner(hidden=hidden)
    with pytest.raises(ValueError, match=re.escape(f"{path} does not fit this net and algorithm")):
        put_meta(learner, other.meta, path)


def test_tensors_of_other_names_do_not_fit_a_learner(path):
    learner = sinusoid_learner()
    theta = dict(learner.meta.learned["theta"])
    theta["renamed"] = theta.pop("0.weight")
    with pytest.raises(ValueError, match="does not fit this net and algorithm: the names of its tensors differ"):
        put_meta(learner, Meta({"theta": theta}, {}), path)


def test_a_misfit_changes_nothing_in_the_learner(path):
    learner, before = sinusoid_learner(), sinusoid_learner().meta
    theta = {name: tensor + 1 for name, tensor in before.learned["theta"].items()}
    theta["2.weight"] = torch.zeros(5, 5)  # those before it would fit
    with pytest.raises(ValueError, match="does not fit"):
        put_meta(learner, Meta({"theta": theta}, {}), path)
    assert identical(learner.meta, before)


def test_a_full_disk_is_an_error_and_leaves_the_last_good_checkpoint_and_nothing_else(path):
    good = checkpoint_after(1)
    save_checkpoint(path, good)
    with small_disk(2000), pytest.raises(OSError, match=re.escape(f"cannot write {path}")) as caught:
        save_checkpoint(path, checkpoint_after(2, width=1000))
    assert caught.value.errno
    assert identical(load_checkpoint(path).meta, good.meta)
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_nothing_where_nothing_was(path):
    with small_disk(2000), pytest.raises(OSError, match="cannot write"):
        save_checkpoint(path, checkpoint_after(2, width=1000))
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_does_not_exist_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*nowhere/x\.json: No such file"):
        replace_file(tmp_path / "nowhere" / "x.json", b"{}")


def test_a_file_is_replaced_whole(tmp_path):
    replace_file(tmp_path / "x.json", b"a long first version")
    replace_file(tmp_path / "x.json", b"short")
    assert (tmp_path / "x.json").read_bytes() == b"short"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_checkpoint_is_json_and_bare_numbers_and_nothing_is_ever_unpickled(path):
    saved = checkpoint_after(0)
    save_checkpoint(path, saved)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")  # the format: a length, that much JSON, the tensors end to end
    header = json.loads(content[8:end])
    assert json.loads(header["__metadata__"]["fewstep"])["update"] == 0
    begins, ends = header["learned/theta/a.weight"]["data_offsets"]
    assert content[end + begins : end + ends] == saved.meta.learned["theta"]["a.weight"].numpy().tobytes()
    source = Path(__file__).parents[1] / "src" / "fewstep"
    found = {p.name: p.read_text() for p in source.rglob("*.py")}
    found = {name: text for name, text in found.items() if re.search(r"import pickle|torch\.(load|save)\(", text)}
    # what the processes of one run tell each other lies in no file; pickles of published data are read without running
    assert sorted(found) == ["ranks.py", "restricted_pickle.py"]
    assert "BytesIO" in found["ranks.py"]
    assert not re.search(r"Path|open\(", found["ranks.py"])
    assert "def find_class" in found["restricted_pickle.py"]
    assert not re.search(r"pickle\.(loads?|dumps?)\(", found["restricted_pickle.py"])
