"""One's own tables: a CSV file whose rows are examples of classes, or whose groups of rows are regression tasks."""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

from fewstep.nearest import nearest
from fewstep.tasks import preflight
from fewstep.tasks.arranging import at_random
from fewstep.tasks.columns import Encoding, Number, Row, Text, column_of, empty_cells, number_of
from fewstep.tasks.grouped import Grouped
from fewstep.tasks.labelled import Labelled
from fewstep.tasks.preflight import Problem, counted
from fewstep.tasks.tensors import from_tensors


@overload
def from_csv(
    file: str | Path,
    *,
    target: str,
    split: str | None = None,
    ignore: Sequence[str] = (),
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
    delimiter: str = ",",
) -> Labelled: ...


@overload
def from_csv(
    file: str | Path,
    *,
    target: str | Sequence[str],
    task: str,
    split: str | None = None,
    ignore: Sequence[str] = (),
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
    delimiter: str = ",",
) -> Grouped: ...


def from_csv(
    file: str | Path,
    *,
    target: str | Sequence[str],
    task: str | None = None,
    split: str | None = None,
    ignore: Sequence[str] = (),
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
    delimiter: str = ",",
) -> Labelled | Grouped:
    """A table with a line of column names, for few-shot tasks; `.tasks(shots=..., queries=...)` makes them.

    Classification: the column `target` names the class of each row. Regression: `target` is a column of numbers, or
    several, and the column `task` says which rows are of one task (a shop, a patient); train on these with
    `loss="mean_squared_error"`. A column `split` of train, val and test divides the classes or tasks; without it the
    shares `held_out` of them become val and test, chosen by `seed`.

    All other columns but those to `ignore` are inputs. Numbers, targets included, are less their mean and divided by
    their standard deviation over the rows that train; texts become an input for each text that those rows have. The
    result's `encoding` does the same to other rows, and brings predictions back into the table's units.

    Raises `ValueError` with everything that is wrong with the table, by lines: values that are missing, columns of
    mixed kinds, lines of other lengths; and for columns that are not there.
    """
    rows = read(Path(file), delimiter)
    targets = [target] if isinstance(target, str) else [*target]
    roles = [*targets, *(name for name in (task, split) if name is not None)]
    inputs = _inputs(rows[0].cells, roles, ignore, file)
    by = targets[0] if task is None else task
    keys = [row.cells[by] for row in rows]
    home = at_random(keys, held_out, seed) if split is None else [row.cells[split] for row in rows]
    texts = [name for name in roles if task is None or name not in targets]
    training = [part == "train" for part in home]
    columns = [column_of(name, rows, training) for name in inputs]
    wanted = [column_of(name, rows, training) for name in targets if task is not None]
    preflight.refuse([*(empty_cells(name, rows) for name in texts), *(problem for _, problem in (*columns, *wanted))])
    if task is None:
        _refuse_values(keys, by)
    encoding = Encoding(inputs=_usable(columns), targets=_numbers(wanted, targets))
    cells = [row.cells for row in rows]
    if task is None:
        data = from_tensors(encoding.x(cells), keys, split=home)
        return dataclasses.replace(data, noun="row", encoding=encoding)
    groups = from_tensors(encoding.x(cells), encoding.y(cells), task=keys, split=home)
    return dataclasses.replace(groups, noun="row", encoding=encoding)


def read(file: Path, delimiter: str = ",") -> list[Row]:
    """The lines of a table, in the order of the file, without spaces around cells.

    Raises `ValueError` for a file without lines, not in UTF-8, or with lines of other lengths than the first.
    """
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ValueError(f"delimiter={delimiter!r}: expected one character, as ',' or ';'")
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            names = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not in UTF-8 ({error.reason}); save it as such") from error
    except csv.Error as error:
        raise ValueError(f"{file} is no table of texts and numbers ({error}); is it another file?") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file} has two columns called '{twice[0]}'")
    if not lines:
        raise ValueError(f"{file} is empty: expected a line of column names, and a line for every row")
    odd = [
        f"line {number} of {file} has {counted(len(cells), 'cell')}, the first {len(names)}"
        for number, cells in lines
        if len(cells) != len(names)
    ]
    preflight.refuse([Problem(odd)])
    return [Row(number, dict(zip(names, cells, strict=True))) for number, cells in lines]


def _inputs(cells: Mapping[str, str], roles: Sequence[str], ignore: Sequence[str], file: str | Path) -> list[str]:
    for name in (*roles, *ignore):
        if name not in cells:
            hint = nearest(name, cells) or (" (another delimiter?)" if len(cells) == 1 else "")
            raise ValueError(f"{file} has no column '{name}', but {', '.join(cells)}{hint}")
    inputs = [name for name in cells if name not in {*roles, *ignore}]
    if not inputs:
        raise ValueError(f"{file} has no column but {', '.join((*roles, *ignore))}: none is left to predict from")
    return inputs


def _usable(columns: Sequence[tuple[Number | Text | None, Problem]]) -> tuple[Number | Text, ...]:
    return tuple(column for column, _ in columns if column is not None)


def _numbers(columns: Sequence[tuple[Number | Text | None, Problem]], names: Sequence[str]) -> tuple[Number, ...]:
    numbers = tuple(column for column in _usable(columns) if isinstance(column, Number))
    if columns and len(numbers) < len(columns):
        raise ValueError(f"the target {', '.join(names)} holds texts: with task= it is numbers, without it is classes")
    return numbers


def _refuse_values(keys: Sequence[str], target: str) -> None:
    numbers = [number_of(key) for key in keys]
    if any(number is not None and number % 1 for number in numbers):
        raise ValueError(
            f"the target '{target}' holds values, {next(n for n in numbers if n is not None and n % 1)} for one: for a "
            f"regression say with task= which column tells the tasks apart; else give the classes names"
        )
