"""Pickles of other people read without running what is in them: numbers, text, plain containers and numpy arrays.

What a pickle names is looked up in a table of our own stand-ins, so that nothing of numpy or of any other module is
called on its behalf; arrays are then made from the bytes, shape and type that the stand-ins were told.
"""

import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

_NUMBERS = re.compile(r"[<>=|]?[biufSU]\d*")
"""Types of plain values: no objects, whose bytes are addresses, and no records, which may hide such."""
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError),
    *(MemoryError, OverflowError, RecursionError, NotImplementedError, struct.error),
)
"""What the unpickler, and our stand-ins, raise on bytes that are no sound pickle."""


class RefusedPickleError(ValueError):
    """A pickle that asks for more than values; the message names it."""


def read_pickle(stream: BinaryIO, name: str) -> Any:
    """The value in `stream`. Text of Python 2 comes as bytes, but for the keys of dictionaries, which are text.

    Raises `ValueError` that begins with `name`: for a pickle that asks for anything but plain values, and for one that
    is damaged.
    """
    try:
        value = _Restricted(stream, encoding="bytes").load()
        return _Plain().of(value)
    except RefusedPickleError as error:
        raise RefusedPickleError(f"{name} {error}") from None
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{name} is damaged, or no pickle ({reason}); download it again") from error


class _Restricted(pickle._Unpickler):  # the one in C takes as much memory as it is told to
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for `module.name`, whether or not there is such a thing here."""
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise RefusedPickleError(
            f"asks for {module}.{name}, expected nothing but numbers, text, lists, dictionaries and numpy arrays; it "
            f"was not read any further, and nothing in it was run"
        )


class _Type:
    """numpy.dtype."""

    def __init__(self, code: str | bytes, align: object = False, copy: object = False) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        self.order = ""
        if not _NUMBERS.fullmatch(self.code):
            raise RefusedPickleError(f"has an array of type {self.code!r}, expected numbers or text")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields, *_ = state
        if subtype is not None or names is not None or fields is not None:
            raise RefusedPickleError("has an array of records, expected numbers or text")
        order = order.decode("ascii") if isinstance(order, bytes) else order
        self.order = order if order in ("<", ">") else ""

    def dtype(self) -> np.dtype[Any]:
        """The real one."""
        return np.dtype(self.order + self.code.lstrip("<>=|"))


class _Array:
    """numpy.ndarray, as `_reconstruct` leaves it: its state tells the rest."""

    def __init__(self, *empty: object) -> None:
        self.made: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, is_fortran, data = state[-4:]
        if not isinstance(kind, _Type) or not isinstance(data, bytes | bytearray | str):
            raise RefusedPickleError("has an array of objects, expected numbers or text")
        raw = data.encode("latin1") if isinstance(data, str) else data
        self.made = np.frombuffer(raw, kind.dtype()).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*empty: object) -> _Array:
    """numpy.core.multiarray._reconstruct."""
    return _Array()


def _from_buffer(buffer: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    """numpy.core.numeric._frombuffer, of protocol 5."""
    array = _Array()
    array.__setstate__((shape, kind, order == "F", bytes(buffer)))
    return array


def _scalar(kind: _Type, data: bytes | str) -> _Array:
    """numpy.core.multiarray.scalar."""
    array = _Array()
    array.__setstate__(((), kind, False, data))
    return array


def _no_bytes() -> bytes:
    """bytes(), by which it writes none."""
    return b""


def _encode(text: str, encoding: str | bytes = "latin1") -> bytes:
    """_codecs.encode, by which Python 3 writes bytes in old protocols."""
    return text.encode("latin1")


def _ndarray(*arguments: object) -> _Array:
    """numpy.ndarray itself, never called by a sound pickle."""
    raise RefusedPickleError("calls numpy.ndarray, expected arrays as numpy pickles them")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")},
}


class _Plain:
    """Values with arrays in place of their stand-ins; what a value holds twice is made once."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bytes | bytearray | bool | int | float | complex):
            return value
        if id(value) not in self._made:
            self._made[id(value)] = self._of_new(value)
        return self._made[id(value)]

    def _of_new(self, value: Any) -> Any:
        if isinstance(value, _Array):
            if value.made is None:
                raise ValueError("an array without contents")
            return value.made[()]
        if isinstance(value, dict):
            return {(key.decode("latin1") if isinstance(key, bytes) else key): self.of(value[key]) for key in value}
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(self.of(item) for item in value)
        raise RefusedPickleError(f"holds a {type(value).__name__}, expected plain values")
