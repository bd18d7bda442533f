"""Runs the notebooks when the site is built, and makes pages of them: text, code, what it printed and drew."""

import base64
import hashlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
KEPT = ROOT / "build" / "notebooks"
"""What was run, so that the same notebook on the same sources is run once."""


class Page(NamedTuple):
    """Markdown, and the PNG pictures in it by name."""

    markdown: str
    pictures: dict[str, bytes]


def on_files(files: Files, *, config: Any, **_: Any) -> None:
    """A page for every notebook."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        page = page_of(executed(path), path.stem)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page.markdown))
        for name, picture in page.pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))


def executed(path: Path) -> Any:
    """The notebook with its outputs, run in an empty folder.

    Raises `CellExecutionError` where a cell fails, and `ValueError` where one writes to stderr, as warnings do.
    """
    kept = KEPT / f"{path.stem}-{_digest(path)}.ipynb"
    if kept.exists():
        return nbformat.read(kept, as_version=4)
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        local = Config(
            KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"}
        )  # sockets in the file system, which no one else can read
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=120, resources=resources, config=local).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise ValueError(f"{path.name}, cell {cell.id}: {output.text}")
    KEPT.mkdir(parents=True, exist_ok=True)
    for older in KEPT.glob(f"{path.stem}-*.ipynb"):
        older.unlink()
    nbformat.write(notebook, kept)
    return notebook


def _digest(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes())
    for source in sorted((ROOT / "src" / "fewstep").rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def page_of(notebook: Any, name: str) -> Page:
    """The notebook as a page.

    A cell's metadata may say what its picture shows, under `alt`, and that it is a `chart`, whose colours a dark page
    may turn.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        said = ""
        for output in cell.outputs:
            data = output.get("data", {})
            said += "" if "image/png" in data else output.get("text", data.get("text/plain", ""))
        if said:
            parts.append(f"```text {{ .output }}\n{said.rstrip()}\n```")
        for output in cell.outputs:
            if (encoded := output.get("data", {}).get("image/png")) is not None:
                picture = f"{name}-{len(pictures)}.png"
                pictures[picture] = base64.b64decode(encoded)
                kind = "{ .chart }" if cell.metadata.get("chart") else ""
                parts.append(f"![{cell.metadata.get('alt', '')}]({picture}){kind}")
    parts.append(f"[This page as a notebook]({name}.ipynb)\n")
    return Page("\n\n".join(parts), pictures)
