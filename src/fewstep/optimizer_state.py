"""The state of an outer optimizer as a checkpoint has it, held against the optimizer before it is taken over."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SLOTS = {"Adam": {"step", "exp_avg", "exp_avg_sq"}, "SGD": {"momentum_buffer"}}
"""What they keep of a parameter; those of a parameter's own shape, but for the number of steps."""


def put_state(optimizer: torch.optim.Optimizer, state: dict[str, Any], source: Path | str) -> None:
    """Load `state`, read from `source`, into `optimizer`.

    Raises `ValueError` where it is of another optimizer or of other parameters; the optimizer is then as it was.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    known = SLOTS[type(optimizer).__name__]
    if _kinds(state["param_groups"]) != _kinds(optimizer.state_dict()["param_groups"]):
        raise ValueError(f"{source} does not fit this run's {type(optimizer).__name__}: other groups of parameters")
    for index, slots in state["state"].items():
        if index not in range(len(parameters)) or slots.keys() != known:
            raise ValueError(f"{source} does not fit this run's {type(optimizer).__name__}: parameter {index} is odd")
        for slot, value in slots.items():
            wanted = () if slot == "step" else tuple(parameters[index].shape)
            if value is not None and not (isinstance(value, Tensor) and tuple(value.shape) == wanted):
                raise ValueError(f"{source} does not fit this net: {slot} of parameter {index} has another shape")
    optimizer.load_state_dict(state)


def _kinds(groups: list[dict[str, Any]]) -> list[dict[str, object]]:
    """The settings' names and types, and what the parameters are; their values are the recipe's."""
    return [
        {name: value if name in ("params", "name") else _kind(value) for name, value in group.items()}
        for group in groups
    ]


def _kind(value: Any) -> object:
    if isinstance(value, list | tuple):
        return [_kind(item) for item in value]
    return "number" if type(value) in (int, float) else type(value)
