"""rich's console without markup in texts and without control characters in them."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from config.terminal import plain


class PlainConsole(Console):
    """Prints texts as they are: no "[link=...]" of a prompt becomes a link, no escape sequence of an answer is sent."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False, file: TextIO | None = None) -> None:
        super().__init__(stderr=stderr, file=file, soft_wrap=soft_wrap, highlight=False, markup=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render without control characters; the console's own control codes are segments of their own kind."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)
