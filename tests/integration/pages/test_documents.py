"""Review and report pages with hostile texts, in Chromium: nothing runs, and another site can neither read nor mark."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from config.errors import RejectionReason
from config.records import Finding, Message, ToolCall, Trajectory, Verdict
from config.report.model import Report
from producer.report.page import html
from tests.support.http_server import pages
from tests.support.rich_report import rich_report
from worker.curate.review import Reviewed, write_review
from worker.curate.review.desk import Desk
from worker.curate.review.examples import Example
from worker.curate.review.server import serving

RUN = "hacked=1"
ATTACK = (
    f"</script></textarea></title></style></pre><script>{RUN}</script>\"'><img src=x onerror={RUN}><svg onload={RUN}>"
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe><a href="javascript:{RUN}">x</a>'
    f'<form action="http://evil.example"><meta http-equiv=refresh content="0;url=javascript:{RUN}">'
    "{{7*7}}{% raw 7*7 %}${7*7}<!--data--><!--script--><!--hash-->\u202e"
)


class Victim:
    """A page and what it did."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("dialog", lambda dialog: dialog.dismiss())

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_timeout(300)  # for handlers and refreshes to run, if they do

    def require_untouched(self, *elements: str) -> None:
        """Nothing ran, nothing was asked for elsewhere, and none of the attack's elements came to be."""
        assert self.page.evaluate("typeof hacked") == "undefined"
        assert [url for url in self.asked if url.startswith("http") and "127.0.0.1" not in url] == []
        for element in ("iframe", "form[action*=evil]", "a[href^=javascript]", "[onerror]", "[onload]", *elements):
            assert self.page.locator(element).count() == 0, element
        assert "49" not in self.page.locator("h1").all_inner_texts()[0]


@pytest.fixture
def victim(browser: Browser) -> Iterator[Victim]:
    context = browser.new_context()
    yield Victim(context.new_page())
    context.close()


def hostile(number: int, *findings: Finding) -> Reviewed:
    """A trajectory whose every text is an attack."""
    job = f"{number:06d}-{ATTACK}"
    call = ToolCall(id=ATTACK, name=ATTACK, arguments={ATTACK: ATTACK})
    messages = (
        Message(role="user", content=ATTACK),
        Message(role="assistant", content=ATTACK, tool_calls=(call,)),
        Message(role="tool", tool_call_id=ATTACK, name=ATTACK, content=ATTACK),
        Message(role="assistant", content=ATTACK),
    )
    one = Trajectory(
        run_id=ATTACK, job_id=job, prompt=ATTACK, category=ATTACK, messages=messages, outcome="completed",
        system_prompt=ATTACK,
    )  # fmt: skip
    return one, Verdict(job_id=job, findings=findings)


def review_page(folder: Path, **options: object) -> Path:
    rejected = Finding(reason=RejectionReason.WRONG_ANSWER, detail=ATTACK)
    page = folder / "review.html"
    pairs = iter([hostile(1), hostile(2, rejected)])
    write_review(page, pairs, title=ATTACK, **options)  # type: ignore[arg-type]
    return page


def planted(value: object) -> object:
    """The same structure with the attack in place of every text."""
    if isinstance(value, str):
        return ATTACK
    if isinstance(value, dict):
        return {key: planted(one) for key, one in value.items()}
    return [planted(one) for one in value] if isinstance(value, list) else value


def report_page(folder: Path) -> Path:
    known = rich_report().model_dump(mode="json")
    texts = ("run_id", "student", "adapter", "notes", "failure_causes", "identity")
    page = folder / "report.html"
    page.write_text(html(Report.model_validate(known | {name: planted(known[name]) for name in texts})))
    return page


def test_texts_of_a_review_page_stay_text(victim: Victim, tmp_path: Path) -> None:
    victim.open(f"file://{review_page(tmp_path)}")
    for side in ("kept", "rejected"):
        victim.page.locator(f"[role=option][id^={side}]").first.click()
        victim.page.wait_for_timeout(200)
    assert "javascript:hacked=1" in victim.page.locator("#panes").inner_text()
    victim.require_untouched("main img", "main svg")


def test_texts_of_a_report_stay_text(victim: Victim, tmp_path: Path) -> None:
    victim.open(f"file://{report_page(tmp_path)}")
    assert "javascript:hacked=1" in victim.page.locator("body").inner_text()
    victim.require_untouched("img", "script")


@pytest.mark.parametrize("make", [review_page, report_page])
def test_markup_that_nothing_escaped_runs_no_script(
    victim: Victim,
    tmp_path: Path,
    make: Callable[[Path], Path],
) -> None:
    """The page's own policy holds where a template forgets to escape. Fails with 'unsafe-inline', and without one."""
    page = make(tmp_path)
    whole = page.read_text()
    raw = f"<script>{RUN}</script><img src=x onerror={RUN}><svg onload={RUN} width=9 height=9></svg>"
    raw += f"<a id=bad href='javascript:{RUN}'>x</a>"
    page.write_text(whole.replace("</h1>", f"</h1>{raw}", 1))
    victim.open(f"file://{page}")
    victim.page.locator("#bad").dispatch_event("click")
    victim.page.wait_for_timeout(200)
    assert victim.page.locator("svg[onload]").count() == 1
    assert victim.page.evaluate("typeof hacked") == "undefined"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    examples = [Example(job_id=f"{n:06d}-{ATTACK}", run_id=ATTACK, kept=n == 1, content="c") for n in (1, 2)]
    return Desk(tmp_path / "marks.jsonl", examples, by=ATTACK, sizes=Counter({True: 1, False: 1}))


@pytest.fixture
def served(tmp_path: Path, desk: Desk) -> Iterator[str]:
    page = review_page(tmp_path, marking={"by": ATTACK, "blind": False})
    with serving(page, desk) as url:
        yield url


def test_a_person_marks_hostile_texts(victim: Victim, served: str, desk: Desk) -> None:
    victim.open(served)
    victim.page.locator("#note").fill(ATTACK)
    victim.page.locator("[data-mark=right]").click()
    victim.page.wait_for_timeout(300)
    assert [mark["mark"] for mark in desk.marks()] == ["right"]
    victim.open(served)  # with the saved note
    victim.require_untouched("main img", "main svg")


FORGED = """<!doctype html><iframe src="{url}"></iframe><form method=post enctype=text/plain action="{url}marks">
<input name='{{"number": 0, "mark": "wrong", "blind": false, "note": "' value='"}}'></form><script>
const body = '{{"number": 0, "mark": "wrong", "blind": false}}';
const ask = (type, mode) => fetch("{url}marks", {{method: "POST", mode, headers: {{"Content-Type": type}}, body}});
Promise.allSettled([ask("application/json", "cors"), ask("text/plain", "no-cors"), fetch("{url}marks")])
  .then((all) => {{ read = all.filter((one) => one.value?.type !== "opaque" && one.value).length; }})
  .finally(() => document.forms[0].submit());
</script>"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_page_that_knows_the_address_can_neither_read_nor_mark(
    victim: Victim, served: str, desk: Desk, host: str
) -> None:
    """The worst case: the token has leaked to a page on another port of this machine, or on another site.

    Fails without the checks of origin and content type.
    """
    sent: list[int] = []
    victim.page.on("response", lambda answer: sent.append(answer.status) if answer.request.method == "POST" else None)
    with pages({"/": (200, FORGED.format(url=served))}) as evil:
        victim.page.goto(evil.replace("127.0.0.1", host))
        victim.page.wait_for_timeout(600)
    assert sent
    assert all(status in (403, 415) for status in sent)
    assert desk.marks() == []
    assert not any(frame.locator("#panes").count() for frame in victim.page.frames[1:])
