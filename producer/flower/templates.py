"""Load Flower's page templates and applejack's, and add a Runs link to Flower's navigation."""

from pathlib import Path

from flower.urls import settings as flower_settings
from tornado.template import Loader, Template

OURS = Path(__file__).parent / "pages"
NAVBAR = "navbar.html"
FIRST_ITEM = '<ul class="app-nav navbar-nav">'  # start of the page list in Flower 2.2
LINK = """
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'runs' %} active{% end %}"
            href="{{ reverse_url('runs') }}"
            {% if active_tab == 'runs' %}aria-current="page"{% end %}>Runs</a>
        </li>"""


class Templates(Loader):
    """Loads templates from applejack's folder, or else from Flower's."""

    def __init__(self) -> None:
        super().__init__(flower_settings["template_path"])

    def _create_template(self, name: str) -> Template:
        ours = OURS / name
        text = (ours if ours.is_file() else Path(self.root) / name).read_text(encoding="utf-8")
        if name == NAVBAR:
            text = text.replace(FIRST_ITEM, FIRST_ITEM + LINK, 1)
        return Template(text, name=name, loader=self)
