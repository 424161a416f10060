"""The dataset card: README.md with the YAML header that hubs read."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

from pydantic import JsonValue

from config.records import JsonObject

ROUNDING = 1e-4  # of a stored rate
REVIEW_TITLE = "## Review by people"
HUB_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")  # the hubs' size_categories


def card(manifest: JsonObject) -> str:
    """The dataset card, built from the content of dataset.json."""
    return "\n".join([*_header(manifest), *_body(manifest)]) + "\n"


def _header(manifest: JsonObject) -> list[str]:
    splits = _object(manifest["splits"])
    ending = "parquet" if _object(manifest["options"])["parquet"] else "jsonl"
    files = [
        f"      - split: {_hub_name(name)}\n        path: {name}.{ending}" for name, rows in splits.items() if rows
    ]
    configs = ["configs:", "  - config_name: default", "    data_files:", *files] if files else []
    return [
        "---",
        "language: [en, code]",
        "license: other",
        "task_categories: [text-generation]",
        "tags: [tool-calling, function-calling, agents, code, synthetic]",
        f"size_categories: [{_size(sum(int(str(rows)) for rows in splits.values()))}]",
        *configs,
        "---",
    ]


def _body(manifest: JsonObject) -> list[str]:
    proof = _object(manifest["loss_proof"])
    kept, read = manifest["kept"], manifest["read"]
    return [
        f"# Tool-calling dataset of run {manifest['source_run'] or 'unknown'}",
        "",
        f"{kept} of {read} trajectories were kept: {manifest['with_tools']} with tools and real results, "
        f"{manifest['without_tools']} without tools. Made by applejack {manifest['applejack']}; "
        f"content hash `{manifest['content_hash']}`.",
        "",
        f"- Answered by {_teachers(manifest)}.",
        *_lost_calls(manifest),
        *_correct(manifest),
        f"- Replay: {_replay(manifest)}.",
        f"- Format `{manifest['format']}`{_rendered(manifest)}.",
        *_parquet(manifest),
        f"- Split {manifest['split_rule']}. Leaks between splits: `{json.dumps(manifest['leaks'])}`.",
        f"- Loss proof: {_proof(proof)}.",
        "",
        *_table("Rows", "split", manifest["splits"]),
        *_table("Rejected", "reason", manifest["reasons"]),
        *_table("Kept by category", "category", manifest["by_category"]),
        *_table("Calls by tool", "tool", manifest["by_tool"]),
        *_list("Warnings", manifest["warnings"]),
        *_table("Code the tools read", "workspace", _workspaces(manifest), value="licence"),
        *review_section(manifest),
    ]


def _correct(manifest: JsonObject) -> list[str]:
    """How many answers are right, of those with a known answer, and how many kept ones could not be checked."""
    graded, kept = _object(manifest["correct"]), _object(manifest["kept_correct"])
    if not graded["of"]:
        return ["- Correct: not known; no prompt has an expected answer that can be checked."]
    unknown = int(str(manifest["kept"])) - int(str(kept["of"]))
    keep_wrong = _object(manifest["options"])["keep_wrong"]
    return [
        f"- Correct: {graded['count']} of {graded['of']} answers to prompts with an expected answer; "
        f"{kept['count']} of {kept['of']} of the kept. Kept with an answer that could not be checked: {unknown}."
        + (" Wrong answers were kept on request (`--keep-wrong`)." if keep_wrong else "")
    ]


def _lost_calls(manifest: JsonObject) -> list[str]:
    lost = _object(manifest.get("lost_calls", {}))
    counted = ", ".join(f"{count} of `{_shared(name)}`" for name, count in lost.items())
    return [f"- Calls lost by the server, which could not parse them: {counted}."] if lost else []


def _replay(manifest: JsonObject) -> str:
    if manifest["replayed"] is None:
        return "off; no recorded tool call was executed again"
    counts = _object(manifest["replayed"])
    causes = ", ".join(f"{cause} {count}" for cause, count in _object(counts["not_replayed"]).items())
    missing = f". Trajectories not replayed, by cause: {causes}" if causes else ""
    return (
        f"of all trajectories read, {counts['matched']} of {counts['calls']} executed tool calls returned the recorded "
        f"result on the pinned code; an example with another result is rejected{missing}"
    )


def review_section(manifest: JsonObject) -> list[str]:
    """Precision and recall by people's marks; nothing without marks."""
    if "review" not in manifest:
        return []
    review = _object(manifest["review"])
    people = "1 person" if review["people"] == 1 else f"{review['people']} people"
    introduction = f"{people} marked {review['marked']} kept and rejected examples as right or wrong."
    lines = [
        f"- {name}: {_rate(review[key]) if review[key] else 'not known, too few marks'}."
        for name, key in (
            ("Precision (kept examples that are right)", "precision"),
            ("Recall (right examples that are kept)", "recall"),
            ("Agreement (examples that several people judged the same)", "agreement"),
        )
        if key != "agreement" or review[key]
    ]
    return [REVIEW_TITLE, "", introduction, "", *lines]


def with_review(text: str, manifest: JsonObject) -> str:
    """A card, which people may have edited, with its review section replaced or added at the end."""
    before = re.sub(rf"(?ms)^{re.escape(REVIEW_TITLE)}$.*?(?=^#|\Z)", "", text).rstrip("\n")
    section = "\n".join(review_section(manifest))
    return f"{before}\n\n{section}\n" if section else f"{before}\n"


def _rate(value: JsonValue) -> str:
    rate = _object(value)
    interval = rate["interval95"]
    assert isinstance(interval, list)
    low, high = (f"{float(str(limit)):.1%}" for limit in interval)
    share, count, of = (float(str(rate[key])) for key in ("rate", "count", "of"))
    is_weighted = of and abs(share - count / of) > ROUNDING
    counted = (
        f"estimated from {of:.0f} marks, weighted for how kept and rejected examples were sampled"
        if is_weighted
        else f"{count:.0f} of {of:.0f} marked"
    )
    return f"{share:.1%} ({counted}, 95% interval {low} to {high})"


def _teachers(manifest: JsonObject) -> str:
    counted = (f"`{_shared(name)}` ({count})" for name, count in _object(manifest["teachers"]).items())
    return ", ".join(counted) or "no teacher"


def _workspaces(manifest: JsonObject) -> JsonObject:
    """Licences by displayed name; directories with the same name keep their paths."""
    found = _object(manifest["workspaces"])
    names = Counter(_shared(place) for place in found)
    return {_shared(place) if names[_shared(place)] == 1 else place: licence for place, licence in found.items()}


def _shared(name: str) -> str:
    """The last part of a local path, because cards are published. Hub names and URLs stay unchanged."""
    return Path(name).name if Path(name).is_absolute() else name


def _rendered(manifest: JsonObject) -> str:
    if manifest["student"] is None:
        return ", independent of the student; no token limit was applied"
    return (
        f", rendered for the student `{_shared(str(manifest['student']))}` {_revision(manifest)}"
        f"(template sha256 `{manifest['template_hash']}`), at most {manifest['max_seq_length']} tokens per row"
    )


def _revision(manifest: JsonObject) -> str:
    """The hub's commit, "" for a directory and for datasets of earlier versions."""
    return f"at revision `{revision}` " if (revision := manifest.get("revision")) else ""


def _parquet(manifest: JsonObject) -> list[str]:
    if not _object(manifest["options"])["parquet"]:
        return []
    return [
        "- The parquet files contain the same rows as the .jsonl files, for dataset viewers. In them `tools` and the "
        "arguments of each call are JSON text. Trainers read the .jsonl files."
    ]


def _proof(proof: JsonObject) -> str:
    if not proof:
        return "not available for this format"
    verdict = "passed" if proof["passed"] else f"FAILED ({proof['faults']})"
    return (
        f"{verdict}; {proof['loss_tokens']} loss tokens, {proof['assistant_tokens']} of them from the assistant, "
        f"stop token in the loss for {proof['stop_tokens']} of {proof['turns']} turns"
    )


def _table(title: str, name: str, counts: JsonValue, *, value: str = "count") -> list[str]:
    rows = [f"| {_cell(key)} | {count} |" for key, count in _object(counts).items()]
    return [f"## {title}", "", f"| {name} | {value} |", "|---|---|", *rows, ""] if rows else []


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _list(title: str, lines: JsonValue) -> list[str]:
    return [f"## {title}", "", *(f"- {line}" for line in lines), ""] if isinstance(lines, list) and lines else []


def _object(value: JsonValue) -> JsonObject:
    assert isinstance(value, dict)
    return value


def _hub_name(split: str) -> str:
    return {"valid": "validation"}.get(split, split)


def _size(rows: int) -> str:
    if rows < 1000:
        return "n<1K"
    for power, (above, below) in enumerate(pairwise(HUB_SIZES)):
        if rows < 10_000 * 10**power:
            return f"{above}<n<{below}"
    return f"n>{HUB_SIZES[-1]}"
