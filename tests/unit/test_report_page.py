import math
import re
from functools import cache
from html.parser import HTMLParser
from typing import cast

import pytest

from config.records import JsonObject
from config.report.metrics import ClusteredRate, Metrics, Rate, Sampled, Training
from config.report.model import Report
from config.report.unseen import Unseen
from producer.report.page import html
from producer.report.page.loss_chart import loss_chart
from producer.report.page.sections import SECTIONS
from tests.support.rich_report import rich_report

MARKUP = (
    "</style></title></textarea></script>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}{% raw x %}"
)
VOID = {"meta", "img", "br", "link", "input", "path"}


@cache
def rich() -> Report:
    return rich_report()


class Page(HTMLParser):
    """The elements of a page; fails if a tag is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(page: str) -> str:
    return " ".join(" ".join(Page(page).text).split())


def planted(value: object) -> object:
    """The same structure with markup in place of every text and of every key of a free-form object."""
    if isinstance(value, str):
        return MARKUP
    if isinstance(value, dict):
        return {key: planted(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [planted(one) for one in value]
    return value


def hostile_report() -> Report:
    """The rich report with markup in all its text fields; categories are keys, so they are renamed apart."""
    known = rich().model_dump(mode="json")
    hostile = cast("dict[str, JsonObject]", planted(known))
    unseen = cast("dict[str, JsonObject]", hostile["unseen"])
    for metrics in (hostile["before"], hostile["after"], unseen["before"], unseen["after"]):
        categories = cast("JsonObject", metrics["by_category"])
        metrics["by_category"] = {f"{MARKUP}{number}": one for number, one in enumerate(categories.values())}
        metrics["failures"] = {MARKUP: 1}
        metrics["findings"] = {MARKUP: 1}
    hostile["unseen"]["problem"] = MARKUP
    for cause in cast("list[JsonObject]", hostile["failure_causes"]):
        cause["categories"] = {MARKUP: 2}
    return Report.model_validate(hostile)


def test_every_section_is_there_for_a_report_with_everything() -> None:
    page = html(rich())
    assert [title for title in SECTIONS if f"<h2>{title.replace(chr(39), '&#x27;')}</h2>" not in page] == []
    assert page.index("<h2>Verdict</h2>") < page.index("<h2>Before and after</h2>")
    hrefs = [value for name, value in Page(page).attributes if name == "href"]
    assert [f"#{value}" for name, value in Page(page).attributes if name == "id"] == hrefs


def test_a_section_without_data_is_left_out() -> None:
    bare = Report(run_id="r", student="s", before=Metrics(prompts=0), identity="base only")
    found = re.findall("<h2>(.*?)</h2>", html(bare))
    assert found == ["Verdict", "All measures", "Which weights answered"]
    assert "not known" in text_of(html(bare))


def test_markup_in_any_text_stays_text() -> None:
    page = html(hostile_report())
    parsed = Page(page)
    assert not {"script", "img", "textarea"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert page.count("</style>") == page.count("</title>") == 1
    assert "{{ 7*7 }}" in page  # a value is not a template
    assert "alert(1)" in text_of(page)  # shown, not dropped


def test_every_text_field_was_attacked() -> None:
    """Without this the test above could miss a field that the rich report leaves empty."""
    shown = text_of(html(rich()))
    for field in (rich().student, rich().identity, rich().failure_causes[0].help, rich().failure_causes[0].title):
        assert field in shown
    example, flip = rich().failure_causes[0].examples[0], rich().comparison
    unseen, choice = rich().unseen, rich().checkpoints
    assert flip is not None
    assert unseen is not None
    assert choice is not None
    for field in (unseen.workspace, choice.reason, *rich().notes):
        assert field in shown
    for field in (example.prompt, example.detail, example.expected, example.turns[-1].text, flip.flipped[0].second):
        assert " ".join(field.split()) in shown


def test_the_page_needs_no_network_and_no_script() -> None:
    page = html(rich())
    assert not re.search(r"https?:|src=|@import|url\(|<script|<link", page)
    assert "prefers-color-scheme: dark" in page


def test_the_verdict_tells_reached_missed_and_unsure() -> None:
    few = Metrics(prompts=8, loop=Rate(count=0, of=8), final_answer=Rate(count=7, of=8))
    shown = text_of(html(Report(run_id="r", student="s", before=few, identity="x")))
    assert "yes? no loop never 0% 0 of 8 answers looped (0-32%). Too few prompts to be sure" in shown
    assert "no final answer always 88% 7 of 8 prompts got a final answer" in shown
    assert "not known peak memory under 10 GB" in shown


def test_flips_show_both_answers_and_fold_the_rest() -> None:
    shown = html(rich())
    comparison = rich().comparison
    assert comparison is not None
    gained = sum(flip.gained for flip in comparison.flipped)
    assert gained > 6
    assert f"Gained: {gained} " in text_of(shown)
    assert f"<summary>{gained - 6} more</summary>" in shown


def test_failures_are_ordered_by_count_with_three_transcripts_each() -> None:
    counts = [int(count) for count in re.findall(r"(\d+) of 68</span></h3>", html(rich()))]
    assert len(counts) == len(rich().failure_causes) > 2
    assert counts == sorted(counts, reverse=True)
    section = html(rich()).split('<section id="why-answers-failed">')[1].split("</section>")[0]
    assert section.count("<details>") == sum(len(cause.examples) for cause in rich().failure_causes)


def test_seconds_of_a_query_are_stacked() -> None:
    section = html(rich()).split('<section id="where-a-querys-seconds-go">')[1].split("</section>")[0]
    widths = [float(width) for width in re.findall(r'class="piece \w+" style="width:([\d.]+)%"', section)]
    assert len(widths) == 8
    assert max(sum(widths[:4]), sum(widths[4:])) == pytest.approx(100, abs=0.1)
    assert "share of prompt tokens from the cache 78% (21,080 of 27,200)" in text_of(section)


def test_sampled_answers_are_shown_with_their_interval() -> None:
    rate = ClusteredRate(mean=0.42, standard_error=0.05, interval95=(0.32, 0.52), prompts=30, answers=120)
    sampled = Sampled(temperature=0.6, top_p=0.9, source="file", samples=4, grounded_correct=rate)
    after = rich().after
    assert after is not None
    report = rich().model_copy(update={"after": after.model_copy(update={"sampled": sampled})})
    assert "temperature 0.6, top_p 0.9, 4 a prompt - 42% (32-52%, 120 answers)" in text_of(html(report))


def test_code_never_seen_has_its_own_rates_and_says_why_it_has_none() -> None:
    section = html(rich()).split('<section id="code-never-seen">')[1].split("</section>")[0]
    assert "package:kombu@5.7.0" in section
    assert "the base model 0 of 2" in text_of(section)
    skipped = Report(run_id="r", student="s", unseen=Unseen.skipped("package:x@1", "x is not installed"), identity="i")
    assert "No question was asked: x is not installed" in text_of(html(skipped))


def test_the_chosen_checkpoint_is_marked() -> None:
    section = html(rich()).split('<section id="checkpoints">')[1].split("</section>")[0]
    assert "80 9 of 16 0 of 16 0.390 chosen" in text_of(section)
    assert section.count(">chosen<") == 1


def test_a_loss_that_became_nan_is_not_drawn() -> None:
    losses: tuple[JsonObject, ...] = (
        {"iteration": 10, "train_loss": 2.0},
        {"iteration": 20, "train_loss": 1.0},
        {"iteration": 30, "train_loss": math.nan},
    )
    chart = loss_chart(Training(losses=losses, iterations=30, peak_memory_gb=1, tokens_per_second=1, seconds=1))
    assert chart is not None
    [curve] = chart.curves
    assert len(curve.dots) == 2
    assert chart.up[0] == (0, "0")
    assert chart.up[-1] == (100, "2")
    assert loss_chart(Training(iterations=1, peak_memory_gb=1, tokens_per_second=1, seconds=1)) is None


def test_categories_start_with_the_fewest_right_answers() -> None:
    section = html(rich()).split('<section id="by-category">')[1].split("</section>")[0]
    shares = [int(share) for share in re.findall(r'fill after.*?<span class="number">(\d+)%', section)]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert "Without answers that can be graded: builtin, definition, exception, keyword." in text_of(section)
