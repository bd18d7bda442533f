"""Pickles of values, of Python 2 and 3, hostile and damaged ones."""

import functools
import io
import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.tasks.restricted_pickle import RefusedPickleError, read_pickle
from published_builders import as_python_2

VALUES: dict[str, Any] = {
    "plain": {"a": [1, -(2**70), 2.5, None, True], "b": (b"bytes\xff", "text ü"), "c": {1, 2}, "d": frozenset({3})},
    "ordered": OrderedDict(b=1, a=2),
    "uint8": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "in columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big-endian": np.arange(4, dtype=">i4"),
    "text": np.array(["abc", "d"]),
    "bytes": np.array([b"abc", b"d"]),
    "empty": np.zeros((0, 3), np.int64),
    "boolean": np.array([True, False]),
}


class Reduced:
    """Pickled as a call of whatever it is given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def read(data: bytes) -> Any:
    return read_pickle(io.BytesIO(data), "FILE")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were_in_every_protocol(name: str, protocol: int):
    value = VALUES[name]
    found = read(pickle.dumps(value, protocol))
    if isinstance(value, np.ndarray):
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        assert (found == value).all()
    else:
        assert found == value


def test_scalars_of_numpy_come_back_as_such():
    found = read(pickle.dumps([np.int64(-5), np.float32(0.5)]))
    assert found == [-5, 0.5]
    assert [type(one) for one in found] == [np.int64, np.float32]


def test_what_two_names_share_is_made_once():
    array = np.arange(3)
    found = read(pickle.dumps([array, array]))
    assert found[0] is found[1]


def test_pickles_of_python_2_have_text_for_keys_and_bytes_for_the_rest_of_their_strings():
    value = {"image_data": np.arange(12, dtype=np.uint8).reshape(2, 6), "class_dict": {"n01": [0, 1]}, "names": ["n01"]}
    data = as_python_2(value)
    assert b"numpy.core.multiarray" in data
    found = read(data)
    assert (found["image_data"] == value["image_data"]).all()
    assert found["class_dict"] == {"n01": [0, 1]}
    assert found["names"] == [b"n01"]


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch {}",), f"{os.name}.system"),
        (eval, ("open('{}', 'w')",), "builtins.eval"),
        (functools.partial, (print, "{}"), "functools.partial"),
        (getattr, (1, "real"), "builtins.getattr"),
        (np.load, ("{}",), "numpy.load"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_asks_for_more_than_values_is_refused_by_name_and_not_run(
    function: Any, arguments: tuple[Any, ...], named: str, protocol: int, tmp_path: Path
):
    planted = tmp_path / "planted"
    told = [one.format(planted) if isinstance(one, str) else one for one in arguments]
    data = pickle.dumps({"image_data": [Reduced(function, *told)]}, protocol)
    expected = named.replace("builtins", "__builtin__") if protocol == 2 else named
    with pytest.raises(RefusedPickleError, match=f"^FILE asks for {expected}, .*nothing in it was run"):
        read(data)
    assert not planted.exists()


def test_a_name_is_not_imported_to_be_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "hostile_module.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RefusedPickleError, match=r"hostile_module\.x"):
        read(b"chostile_module\nx\n.")
    assert "hostile_module" not in sys.modules


@pytest.mark.parametrize(
    "value", [np.array([{"a": 1}, None], object), np.zeros(2, [("x", "u1"), ("y", "O")]), np.zeros(2, "V8")]
)
def test_arrays_of_objects_and_of_records_are_refused(value: Any):
    with pytest.raises(RefusedPickleError, match="expected numbers or text"):
        read(pickle.dumps(value))


def test_a_type_that_becomes_a_record_by_its_state_is_refused():
    """Bytes taken for the addresses of objects would be a way to run anything."""
    fields = {"x": (np.dtype("i8"), 0)}
    kind = Reduced(np.dtype, "i8", False, True)
    kind.__class__ = type("Kind", (Reduced,), {"__reduce__": lambda self: (*self.call, (3, "<", None, ("x",), fields))})
    with pytest.raises(RefusedPickleError, match="an array of records"):
        read(pickle.dumps(kind))


def test_a_value_that_is_no_plain_one_is_refused():
    with pytest.raises(RefusedPickleError, match="holds a type, expected plain values"):
        read(b"cnumpy\ndtype\n.")


def test_ndarray_is_never_called():
    with pytest.raises(RefusedPickleError, match=r"calls numpy\.ndarray"):
        read(b"cnumpy\nndarray\n(I9\ntR.")


def test_a_pickle_that_is_damaged_anywhere_is_one_error_or_other_values():
    data = pickle.dumps({"image_data": np.arange(8, dtype=np.uint8), "class_dict": {"a": [0, 1]}}, 2)
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"^FILE "):
            read(data[:end])
    for place in range(len(data)):
        for byte in (0, 0x7F, 0xFF, data[place] ^ 1):
            try:
                read(data[:place] + bytes([byte]) + data[place + 1 :])
            except ValueError as error:
                assert str(error).startswith("FILE ")  # noqa: PT017  # other values are as good


@pytest.mark.parametrize("data", [b"", b"<html>404", b"PK\x03\x04", b"\x80\x04."])
def test_what_is_no_pickle_is_an_error(data: bytes):
    with pytest.raises(ValueError, match=r"^FILE is damaged, or no pickle \(.+\); download it again"):
        read(data)


def test_a_few_bytes_that_ask_for_much_memory_or_time_are_soon_dealt_with():
    """A memo of 2³² entries; a string of 2⁶² bytes; a list that holds itself 2⁶⁰ times."""
    assert read(b"\x80\x04Nr\xff\xff\xff\xff.") is None
    with pytest.raises(ValueError, match="is damaged"):
        read(b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"few.")
    laughs: list[Any] = [1]
    for _ in range(60):
        laughs = [laughs, laughs]
    found = read(pickle.dumps(laughs))
    assert found[0] is found[1]
