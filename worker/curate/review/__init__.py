"""The review page: kept and rejected trajectories in one HTML file that makes no network requests.

The file contains the page, blocks of trajectories and an index. Data is gzipped JSON in base64, so that the browser
cannot parse it as markup. The page unpacks the index on load, and a block when one of its trajectories is opened.
With `marking` it is the page of `worker.curate.review.server`, and sends marks to it.
"""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from pydantic import JsonValue

from config.atomic_files import replace_file, writing
from config.errors import UsageError
from config.records import JsonObject, Trajectory, Verdict

BLOCK = 50  # trajectories unpacked together: about 500 KB, a few milliseconds
QUESTION = 180  # characters of the question in the index: two lines of the list
HERE = Path(__file__).parent
SCRIPTS = ("conversation.js", "lists.js", "filters.js", "marking.js", "page.js")  # joined in this order
SERVED = "base-uri 'none'; connect-src 'self'"  # a page that saves marks sends them to its own server

Reviewed = tuple[Trajectory, Verdict]


@dataclass(frozen=True)
class Unjudged:
    """In the place of a verdict: the trajectory has none."""

    why: str


def write_review(
    out: Path,
    trajectories: Iterable[tuple[Trajectory, Verdict | Unjudged]],
    *,
    title: str,
    correct: JsonValue = None,
    marking: JsonObject | None = None,
    head: JsonObject | None = None,
) -> int:
    """Write the page atomically; return the number of trajectories. Keeps one block in memory.

    Args:
        correct: {"count", "of"} of dataset.json: right answers, of those whose prompt has an expected answer.
        head: of a run: "totals" and "notes" (texts), "counts" by side and "reasons", which a sample does not show.
        marking: {"by", "blind"} makes the page of `worker.curate.review.server`, which saves marks.

    Raises UsageError if `out` cannot be written.
    """
    if out.is_dir():
        raise UsageError(f"the page {str(out)!r} is a directory; choose a file name, such as review.html")
    with writing(out), replace_file(out) as draft, draft.open("w", encoding="utf-8") as file:
        return _write(
            file,
            iter(trajectories),
            title,
            {"correct": correct, "marking": marking, **({"head": head} if head else {})},
        )


def _write(
    file: TextIO, trajectories: Iterator[tuple[Trajectory, Verdict | Unjudged]], title: str, about: JsonObject
) -> int:
    head, tail = _page(title)
    if about["marking"]:
        head = head.replace("base-uri 'none'", SERVED)
    index: list[JsonObject] = []
    file.write(head)
    while block := list(islice(trajectories, BLOCK)):
        index += [_index_entry(trajectory, verdict) for trajectory, verdict in block]
        file.write(_data("block", [_detail(trajectory, verdict) for trajectory, verdict in block]))
    file.write(_data("index", {"title": title, "block": BLOCK, "items": index, **about}))
    file.write(tail)
    return len(index)


def _page(title: str) -> tuple[str, str]:
    """The page before and after the data."""
    page, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    before, behind = page.split("<!--data-->")
    # A script that markup of an answer would bring has another hash, and no element may have a handler.
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    head = before.replace("<!--hash-->", digest).replace("<!--style-->", f"<style>\n{style}</style>")
    head = head.replace("<!--title-->", html.escape(title))
    return head, behind.replace("<!--script-->", f"<script>\n{script}</script>")


def _data(kind: str, content: object) -> str:
    packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)  # mtime=0: reproducible output
    return f'<script type="application/gzip" class="{kind}">{base64.b64encode(packed).decode()}</script>\n'


def _index_entry(trajectory: Trajectory, verdict: Verdict | Unjudged) -> JsonObject:
    """The fields that lists and filters use."""
    judged = isinstance(verdict, Verdict)
    return {
        "id": trajectory.job_id,
        "question": trajectory.prompt[:QUESTION],
        "category": trajectory.category,
        "tools": list(dict.fromkeys(call.name for call in trajectory.tool_calls)),
        "reasons": [reason.value for reason in verdict.reasons] if isinstance(verdict, Verdict) else [verdict.why],
        "calls": len(trajectory.tool_calls),
        **({} if judged else {"side": "open"}),
        **({"failure": trajectory.failure.kind.value} if trajectory.failure else {}),
    }


def _detail(trajectory: Trajectory, verdict: Verdict | Unjudged) -> JsonObject:
    """The trajectory without its tool schemas; only the tool names are kept."""
    detail: JsonObject = trajectory.model_dump(mode="json", exclude_defaults=True, exclude={"tools", "timing"})
    functions = [tool.get("function") for tool in trajectory.tools]
    return detail | {
        "tools": [function.get("name") for function in functions if isinstance(function, dict)],
        "findings": [
            finding.model_dump(mode="json", exclude_none=True)
            for finding in (verdict.findings if isinstance(verdict, Verdict) else ())
        ],
    }
