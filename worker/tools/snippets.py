"""Extracts parameters and values from the few lines of Python in a tool result."""

import ast


def parameters_of(lines: list[str]) -> list[str] | None:
    """Parameter names, without self and cls, of the `def` that begins these lines. None if its header is incomplete."""
    for end in range(1, len(lines) + 1):
        text = "\n".join(lines[:end]).strip()
        for body in ("", " pass"):
            try:
                node = ast.parse(text + body).body[0]
            except (SyntaxError, ValueError, IndexError):
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                return _names(node.args)
    return None


def _names(arguments: ast.arguments) -> list[str]:
    starred = [arguments.vararg] if arguments.vararg else []
    last = [arguments.kwarg] if arguments.kwarg else []
    ordered = [*arguments.posonlyargs, *arguments.args, *starred, *arguments.kwonlyargs, *last]
    return [argument.arg for argument in ordered if argument.arg not in ("self", "cls")]


def assigned(text: str) -> str:
    """The right side of an assignment, without a trailing comment."""
    try:
        node = ast.parse(text).body[0]
    except (SyntaxError, ValueError, IndexError):  # it continues on the next line
        return text.partition(" = ")[2].strip()
    value = ast.get_source_segment(text, node.value) if isinstance(node, ast.Assign) else None
    return value or text.partition(" = ")[2].strip()
