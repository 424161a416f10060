"""Reading pieces of Python out of the few lines that a tool showed."""

import ast


def parameters_of(lines: list[str]) -> list[str] | None:
    """Parameter names, without self and cls, of the `def` that these lines begin with; None when it does not end."""
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
    """The right side of an assignment, without a comment behind it."""
    try:
        node = ast.parse(text).body[0]
    except (SyntaxError, ValueError, IndexError):  # it goes on in the next line
        return text.partition(" = ")[2].strip()
    value = ast.get_source_segment(text, node.value) if isinstance(node, ast.Assign) else None
    return value or text.partition(" = ")[2].strip()
