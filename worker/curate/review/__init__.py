"""The review page: kept and rejected trajectories side by side, one HTML file that asks nothing of the network.

The file holds the page, blocks of trajectories and an index, as gzipped JSON in base64, so that no text in them can be
read as markup. The page unpacks the index at once and a block when one of its trajectories is looked at.
"""

import base64
import gzip
import html
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from config.atomic_files import replace_file, writing
from config.errors import UsageError
from config.records import JsonObject, Trajectory, Verdict

BLOCK = 50  # trajectories unpacked together: half a megabyte at 10 KB each, a few milliseconds
QUESTION = 180  # characters of the question in the index, two lines of a list
HERE = Path(__file__).parent
SCRIPTS = ("conversation.js", "lists.js", "filters.js", "page.js")  # one script, in this order

Reviewed = tuple[Trajectory, Verdict]


def write_review(out: Path, trajectories: Iterable[Reviewed], *, title: str) -> int:
    """Write the page, whole or not at all; returns the number of trajectories. One block is in memory at a time.

    Raises UsageError when `out` cannot be written.
    """
    if out.is_dir():
        raise UsageError(f"the page {str(out)!r} is a directory; name a file, such as review.html")
    with writing(out), replace_file(out) as draft, draft.open("w", encoding="utf-8") as file:
        return _write(file, iter(trajectories), title)


def _write(file: TextIO, trajectories: Iterator[Reviewed], title: str) -> int:
    head, tail = _page(title)
    index: list[JsonObject] = []
    file.write(head)
    while block := list(islice(trajectories, BLOCK)):
        index += [_index_entry(trajectory, verdict) for trajectory, verdict in block]
        file.write(_data("block", [_detail(trajectory, verdict) for trajectory, verdict in block]))
    file.write(_data("index", {"title": title, "block": BLOCK, "items": index}))
    file.write(tail)
    return len(index)


def _page(title: str) -> tuple[str, str]:
    """The page in front of and behind the data."""
    page, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    before, behind = page.split("<!--data-->")
    head = before.replace("<!--style-->", f"<style>\n{style}</style>").replace("<!--title-->", html.escape(title))
    return head, behind.replace("<!--script-->", f"<script>\n{script}</script>")


def _data(kind: str, content: object) -> str:
    packed = gzip.compress(
        json.dumps(content, separators=(",", ":")).encode(), mtime=0
    )  # the same input, the same page
    return f'<script type="application/gzip" class="{kind}">{base64.b64encode(packed).decode()}</script>\n'


def _index_entry(trajectory: Trajectory, verdict: Verdict) -> JsonObject:
    """What lists and filters need."""
    return {
        "id": trajectory.job_id,
        "question": trajectory.prompt[:QUESTION],
        "category": trajectory.category,
        "tools": list(dict.fromkeys(call.name for call in trajectory.tool_calls)),
        "reasons": [reason.value for reason in verdict.reasons],
        "calls": len(trajectory.tool_calls),
    }


def _detail(trajectory: Trajectory, verdict: Verdict) -> JsonObject:
    """Everything of a trajectory but its tools' schemas, of which the names remain."""
    detail: JsonObject = trajectory.model_dump(mode="json", exclude_defaults=True, exclude={"tools"})
    functions = [tool.get("function") for tool in trajectory.tools]
    return detail | {
        "tools": [function.get("name") for function in functions if isinstance(function, dict)],
        "findings": [finding.model_dump(mode="json", exclude_none=True) for finding in verdict.findings],
    }
