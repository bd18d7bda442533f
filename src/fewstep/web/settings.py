"""What the playground was started with."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the user's things are; nothing outside of `runs` is read or named."""

    runs: Path = Path("runs")
    """the folder whose run folders and learner files are shown and may be chosen; it may not be there yet"""
    data_root: Path | None = None
    """folder of the data sets; None: `$FEWSTEP_DATA`, else the user's cache folder"""
    body_limit: int = 8 * 2**20
    """bytes of the largest request"""
