"""Turns the equations of a page into MathML when the site is built: browsers draw it, no script is fetched."""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

EQUATION = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """What pymdownx.arithmatex has marked, as MathML."""
    return EQUATION.sub(_drawn, html)


def _drawn(found: re.Match[str]) -> str:
    latex = unescape(found[2]).strip()[2:-2]  # without \\( and \\), or \\[ and \\]
    drawn: str = convert(latex, display="block" if found[1] == "div" else "inline")
    if "\\" in drawn:
        raise PluginError(f"an equation has a command that cannot be drawn: {latex}")
    return drawn
