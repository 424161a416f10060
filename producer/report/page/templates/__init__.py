"""Render the page's templates. Values are escaped unless a template marks them as raw."""

from functools import cache
from pathlib import Path

from tornado.template import Loader  # comes with Flower


@cache
def _loader() -> Loader:
    return Loader(str(Path(__file__).parent), autoescape="xhtml_escape", whitespace="oneline")


def render(template: str, **values: object) -> str:
    """The HTML of one template, such as "verdict.html"."""
    return _loader().load(template).generate(**values).decode()
