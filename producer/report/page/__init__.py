"""Format a Report as a self-contained HTML page without scripts or external resources, in light and dark mode."""

from dataclasses import dataclass
from pathlib import Path

from config.report.model import Report
from producer.report.page.sections import SECTIONS
from producer.report.page.templates import render

STYLE = Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    key: str
    """fragment of its address"""
    title: str
    body: str
    """HTML"""


def html(report: Report) -> str:
    """The page. The templates escape all values; a section without data is left out."""
    made = [
        Section(title.lower().replace("'", "").replace(" ", "-"), title, body)
        for title, section in SECTIONS.items()
        if (body := section(report))
    ]
    return render("page.html", report=report, style=STYLE.read_text(encoding="utf-8"), sections=made)
