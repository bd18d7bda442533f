"""The templates of pages, with the filters that they share."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from fewstep.report import contents


def template(name: str) -> Template:
    """A template of this package; HTML is escaped, Markdown is not."""
    environment = Environment(
        loader=PackageLoader("fewstep", "report"),
        autoescape=".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = contents.plain
    return environment.get_template(name)
