"""Which of torch's interfaces source files use: names reached from `torch`, and keywords of calls of them.

Read with ast. Methods of tensors and modules are not seen, for their owners' types are not known there.
"""

import ast
from pathlib import Path


def interfaces_of(path: Path) -> set[str]:
    """`torch.func.vmap`, `torch.func.grad(has_aux=)` and so on."""
    tree = ast.parse(path.read_text())
    imported = _imported(tree)
    found = {name for name in imported.values() if name != "torch"}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner and (name := _dotted(node, imported)):
            found.add(name)
        if isinstance(node, ast.Call) and (name := _dotted(node.func, imported)):
            found |= {f"{name}({keyword.arg}=)" for keyword in node.keywords if keyword.arg}
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    """What the file calls torch, and things of it."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            of_torch = [alias for alias in node.names if alias.name.split(".")[0] == "torch"]
            names |= {alias.asname or "torch": alias.name if alias.asname else "torch" for alias in of_torch}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch":
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.expr, imported: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, imported)):
        return f"{owner}.{node.attr}"
    return None
