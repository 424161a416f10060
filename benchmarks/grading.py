"""Measures how far grading agrees with people: python benchmarks/grading.py [FILE] [--show]

FILE has labelled answers in the form of tests/data/labelled_answers.jsonl (labelled_answers.md describes it), or
trajectories with `--labels A.jsonl B.jsonl`, the readers' lines of {"run_id", "job_id", "correct"}. Answers from
before expectations had types are graded on typed ones: as mined from `--code DIR`, else as `expect` itself allows.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from config.questions.expected_facts import Grade, grade
from config.questions.typed_expectations import pairs, typed
from config.questions.wording import GENERAL_FORMS, TOOL_FORMS, Question, parse
from config.records import JsonObject
from config.report.metrics import wilson

LABELLED = Path(__file__).parent.parent / "tests" / "data" / "labelled_answers.jsonl"


@dataclass(frozen=True)
class _Mined:
    """What is known of a code base."""

    expectations: Mapping[tuple[str, frozenset[tuple[str, str]]], JsonObject]
    files: Mapping[str, set[str]]
    """the files that define each name"""
    root: str

    def expect(self, asked: Question, old: JsonObject) -> JsonObject | None:
        """The expectation of a question; two names are not always paired as the miner pairs them now."""
        if asked.category != "both_defined":
            return self.expectations.get((asked.category, frozenset(asked.slots.items())))
        listed = {str(path) for path in found} if isinstance(found := old.get("contains"), list) else set()
        places = {name: self.files.get(name, set()) & listed for name in asked.slots.values()}
        if not all(len(paths) == 1 for paths in places.values()):
            return None
        return pairs({name: next(iter(paths)) for name, paths in places.items()}, root=self.root)


@dataclass(frozen=True)
class Labelled:
    """An answer with the labels of its readers."""

    question: str
    category: str
    expect: JsonObject
    answer: str
    calls: int
    source: str
    labels: tuple[bool | None, ...]

    @property
    def label(self) -> bool | None:
        """What all readers say; None if they differ."""
        return self.labels[0] if len(set(self.labels)) == 1 else None

    @property
    def graded(self) -> Grade:
        """The grade of the text. The readers judged the text too, so that calls do not count."""
        return grade(self.expect, self.answer, question=self.question)


def main() -> None:
    """Print the table of agreement by source and category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=LABELLED, help="labelled answers, or trajectories")
    parser.add_argument("--labels", type=Path, nargs="+", default=[], help="a file of labels from each reader")
    parser.add_argument("--code", type=Path, nargs="+", default=[], help="the code that the questions are about")
    parser.add_argument("--convert", type=Path, help="write the labelled answers with typed expectations to this file")
    parser.add_argument("--untyped", action="store_true", help="grade on `expect` as it was mined then")
    parser.add_argument("--show", action="store_true", help="list the disagreements, and what was not graded")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text(encoding="utf-8").splitlines() if line.strip()]
    mined = [_mined(code) for code in options.code]
    records = [_typed(record, mined) for record in _labelled(rows, [_labels(path) for path in options.labels])]
    if options.convert:
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        options.convert.write_text("".join(lines), encoding="utf-8")
    answers = [_answer(record, "expect" if options.untyped else "typed") for record in records]
    _table(answers)
    if options.show:
        _show(answers)


def _labels(path: Path) -> dict[tuple[str, str], Any]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {(row["run_id"], row["job_id"]): row["correct"] for row in rows}


def _labelled(rows: list[dict[str, Any]], labels: Sequence[Mapping[tuple[str, str], Any]]) -> Iterator[dict[str, Any]]:
    """Records in the form of labelled_answers.jsonl."""
    for row in rows:
        if "messages" not in row:
            yield row
            continue
        key, last = (row["run_id"], row["job_id"]), row["messages"][-1]
        if all(key in label for label in labels) and row["expect"]:
            yield {
                "question": row["prompt"],
                **{name: row[name] for name in ("category", "requires_tools", "expect")},
                "calls": sum(len(message.get("tool_calls") or ()) for message in row["messages"]),
                "answer": (last.get("content") or "") if last["role"] == "assistant" else "",
                "source": "model",
                "code": row["run_id"],
                "correct": [label[key] for label in labels],
            }


def _mined(code: Path) -> _Mined:
    """The expectation of every question about the code."""
    from producer.mining.code_questions import candidates
    from producer.mining.python_code import read

    source = read(code)
    found = [candidate for category in TOOL_FORMS for candidate in candidates(source, category)]
    files = {name: {place.source.path for place in places} for name, places in source.by_name.items()}
    return _Mined(
        {(each.question.category, frozenset(each.question.slots.items())): each.expect for each in found},
        files,
        source.root,
    )


def _typed(record: dict[str, Any], mined: Sequence[_Mined]) -> dict[str, Any]:
    asked = parse(record["question"])
    if "typed" in record or asked is None:
        return {**record, "typed": record.get("typed", record["expect"])}
    known = [expect for code in mined if (expect := code.expect(asked, record["expect"]))]
    fitting = [expect for expect in known if _facts(expect) == _facts(record["expect"])]  # two codes may share a name
    return {**record, "typed": fitting[0] if fitting else typed(record["question"], record["expect"])}


def _facts(expect: JsonObject) -> set[str]:
    """The expected names, paths and numbers of any form."""
    found: set[str] = set()
    for key, value in expect.items():
        if key in ("contains", "names", "parameters", "paths") and isinstance(value, list):
            found |= {str(item).rpartition("/")[2] for item in value}
        elif key == "pairs" and isinstance(value, dict):
            found |= {str(item).rpartition("/")[2] for item in value.values()}
        elif key in ("file", "value", "sentence", "number"):
            found.add(str(value).rpartition("/")[2])
    return found


def _answer(record: dict[str, Any], key: str) -> Labelled:
    names = ("question", "category", "answer", "source")
    labels = tuple(record["correct"])
    return Labelled(
        expect=record[key], calls=record["calls"] or 0, labels=labels, **{name: record[name] for name in names}
    )


def _table(answers: Sequence[Labelled]) -> None:
    groups: defaultdict[str, list[Labelled]] = defaultdict(list)
    for category in (*TOOL_FORMS, *GENERAL_FORMS):
        groups[category] = [answer for answer in answers if answer.category == category]
    for source in dict.fromkeys(answer.source for answer in answers):
        groups[f"all: {source}"] = [answer for answer in answers if answer.source == source]
    groups["all"] = list(answers)
    print(f"{'':18} labelled  not graded  agree  wrongly accepted  wrongly rejected  agreement (95% interval)")
    for name, group in groups.items():
        counts = Counter(verdict(answer) for answer in group)
        graded = sum(counts[each] for each in ("agree", "accepted", "rejected"))
        low, high = wilson(counts["agree"], graded) if graded else (0.0, 0.0)
        share = f"{counts['agree'] / graded:6.1%} ({low:.1%}-{high:.1%})" if graded else ""
        print(
            f"{name:18} {len(group) - counts['differ']:8} {counts['ungraded']:11} {counts['agree']:6}"
            f" {counts['accepted']:17} {counts['rejected']:17}  {share}"
        )


def verdict(answer: Labelled) -> str:
    """agree, accepted or rejected (wrongly), ungraded, or differ if the readers do."""
    if answer.label is None:
        return "differ"
    correct = answer.graded.correct
    if correct is None:
        return "ungraded"
    return "agree" if correct is answer.label else ("accepted" if correct else "rejected")


def _show(answers: Sequence[Labelled]) -> None:
    for answer in answers:
        if (found := verdict(answer)) != "agree":
            grade_ = "; ".join(answer.graded.faults) or "no fault"
            labels = "/".join("right" if label else "wrong" for label in answer.labels)
            print(f"\n{found}: {answer.question}\n  {answer.answer[:300]!r}\n  readers: {labels}; grader: {grade_}")


if __name__ == "__main__":
    main()
