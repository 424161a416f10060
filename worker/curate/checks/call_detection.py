"""Detects tool calls written as text: JSON, fenced, XML, ReAct or Python notation; complete, cut off or announced."""

import re

TAGS = re.compile(
    r"</?tool_call\b>?|\btool_call>|</?function_calls?>|<function=|</function>|<parameter=|</parameter>"
    r"|<invoke\b|</invoke>|\[TOOL_CALLS?\]|<\|python_tag\|>|<\|tool_call\|?>|<tool_code>|```tool_(?:call|code)"
)
KEY = r"""["'](?:name|tool|tool_name|function)["']\s*:\s*["'][\w.-]+["']"""
ARGUMENTS = r"""["'](?:arguments|args|parameters|tool_input|action_input)["']\s*:\s*[\[{"']"""
JSON_CALL = re.compile(rf"{KEY}\s*,\s*{ARGUMENTS}|{ARGUMENTS}[^\n]*?{KEY}")
WRAPPED = re.compile(r"""["'](?:tool_calls|function_call)["']\s*:\s*[\[{]""")
REACT = re.compile(r"(?m)^\s*Action\s*:\s*\w+\s*\n\s*Action Input\s*:")


def call_text(text: str, names: frozenset[str]) -> str:
    """The first part of `text` that is a call and not a mention of one, or "". `names` are the tool names."""
    for pattern in (TAGS, JSON_CALL, WRAPPED, REACT):
        if found := pattern.search(text):
            return found.group()
    if not names:
        return ""
    name = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    patterns = (
        rf"(?m)^\s*(?:>>>\s*)?(?:{name})\((?:\s*\w+\s*=\s*.*)?\)\s*$",  # grep(pattern="x") on a line of its own
        rf"(?s)```(?:json|tool|xml|python)?\s*\{{\s*\"(?:{name})\"\s*:\s*\{{",  # {"grep": {...}} in a fence
        rf"(?m)^\s*\{{\s*[\"']name[\"']\s*:\s*[\"'](?:{name})[\"']\s*[,}}]?\s*$",  # first line of a cut-off call
        rf"(?i)\bI(?:'|\u2019)?(?:ll| will) (?:now )?(?:use|call|run) the `?(?:{name})`? (?:tool|function)[.:]?\s*\Z",
    )
    for pattern_text in patterns:
        if found := re.search(pattern_text, text):
            return found.group()
    return ""
