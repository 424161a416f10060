"""Chat templates for students whose own template does not support tools."""

from pathlib import Path

CHATML_TOOLS = "chatml_tools"
QWEN25_CODER_FENCED = "qwen25_coder_fenced"  # calls as fenced json; the server needs worker/student/fenced_json.py


def path(name: str) -> Path:
    """The file of a template, for example `path("chatml_tools")`. Raises FileNotFoundError for an unknown name."""
    file = Path(__file__).parent / f"{name}.jinja"
    if not file.is_file():
        raise FileNotFoundError(f"no chat template named {name!r} in {file.parent}")
    return file
