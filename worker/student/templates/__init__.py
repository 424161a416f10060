"""Chat templates for students that come without a tools-capable one."""

from pathlib import Path

CHATML_TOOLS = "chatml_tools"
QWEN25_CODER_FENCED = (
    "qwen25_coder_fenced"  # calls as fenced json; needs worker/student/fenced_json.py where it is served
)


def path(name: str) -> Path:
    """The file of a template, `path("chatml_tools")`; FileNotFoundError when there is none of that name."""
    file = Path(__file__).parent / f"{name}.jinja"
    if not file.is_file():
        raise FileNotFoundError(f"no chat template named {name!r} in {file.parent}")
    return file
