"""Numbers of formats: files say in which they were written, and another one is refused before it is read."""

from pathlib import Path


def check_format(path: Path, found: object, known: int, what: str) -> None:
    """Raise `ValueError` unless a file of the kind `what` is of the format that this fewstep reads.

    A format is raised by one where a file written now could be misread by the fewstep before, or the other way round;
    a field that may be missing raises nothing. Who raises it adds a reader for the one before it, and a file of the
    new one beside those in tests/formats, which must all open for ever.
    """
    if type(found) is int and found == known:
        return
    if type(found) is int and found > known:
        raise ValueError(
            f"{path} was written by a newer fewstep ({what} of format {found}, this reads {known}): upgrade fewstep"
        )
    raise ValueError(f"{path} has format {found!r}, expected {known}: no fewstep writes such {what}, it is damaged")
