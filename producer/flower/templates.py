"""Load Flower's page templates and applejack's, and add applejack's pages to Flower's navigation."""

from pathlib import Path

from flower.urls import settings as flower_settings
from tornado.template import Loader, Template

OURS = Path(__file__).parent / "pages"
ASSETS = Path(__file__).parent / "static"
NAVBAR = "navbar.html"
FIRST_ITEM = '<ul class="app-nav navbar-nav">'  # start of the page list in Flower 2.2
LINK = """
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'NAME' %} active{% end %}"
            href="{{ reverse_url('NAME') }}"
            {% if active_tab == 'NAME' %}aria-current="page"{% end %}>TITLE</a>
        </li>"""
LINKS = "".join(
    LINK.replace("NAME", name).replace("TITLE", title) for name, title in (("runs", "Runs"), ("fleet", "Fleet"))
)


class Templates(Loader):
    """Loads templates from applejack's folder, or else from Flower's."""

    def __init__(self) -> None:
        super().__init__(flower_settings["template_path"])

    def _create_template(self, name: str) -> Template:
        ours = OURS / name
        text = (ours if ours.is_file() else Path(self.root) / name).read_text(encoding="utf-8")
        if name == NAVBAR:
            text = text.replace(FIRST_ITEM, FIRST_ITEM + LINKS, 1)
        return Template(text, name=name, loader=self)
