import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import UsageError
from config.prompts import load, write
from config.records import Prompt

GOOD = b'{"prompt": "Where is foo?"}\n'


def _file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    return path


BAD = [
    (b"{oops}", "not JSON at column 2"),
    (b"[1]", r"not a JSON object: \[1\]"),
    (b'"text"', "not a JSON object"),
    (b"{}", "prompt is missing"),
    (b'{"prompt": ""}', "prompt is empty"),
    (b'{"prompt": "  "}', "prompt is empty"),
    (b'{"prompt": 3}', "prompt is 3"),
    (b'{"prompt": "a", "requires_tools": "yes"}', "requires_tools is 'yes'"),
    (b'{"prompt": "a", "requires_tool": true}', "did you mean 'requires_tools'"),
    (b'{"prompt": "a", "split": "dev"}', "split is 'dev'"),
    (b'{"prompt": "a", "expect": ["x"]}', "expect is"),
    (b'{"prompt": "a", "expect": {"contain": ["x"]}}', "did you mean 'contains'"),
    (b'{"prompt": "a", "expect": {"number": NaN}}', "NaN"),
    (b'{"prompt": "caf\xe9"}', "not UTF-8 at byte 16"),
    (b'{"prompt": "\\ud800"}', "prompt is"),  # half of a surrogate pair
    (b'{"prompt": "a", "expect": {"any": ["\\ud800"]}}', "surrogate"),
    (b"[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("line", "says"), BAD)
def test_a_bad_line_is_refused_with_file_line_and_reason(tmp_path: Path, line: bytes, says: str) -> None:
    path = _file(tmp_path, GOOD + line + b"\n")
    with pytest.raises(UsageError, match=says) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}:2: ")
    assert "\n" not in str(refused.value)


def test_ten_bad_lines_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    path = _file(tmp_path, b"x\n" * 25)
    with pytest.raises(UsageError) as refused:
        load(path)
    lines = str(refused.value).splitlines()
    assert len(lines) == 11
    assert lines[9].startswith(f"{path}:10: ")
    assert lines[10] == "and 15 more bad lines"


def test_mark_crlf_and_blank_lines_are_tolerated_and_lines_counted_with_them(tmp_path: Path) -> None:
    path = _file(tmp_path, b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n  \n{"prompt": "b"}\r\n{"prompt": "a"}')
    loaded = load(path)
    assert [prompt.prompt for prompt in loaded.prompts] == ["a", "b"]
    assert loaded.duplicates == ((5, 1),)


def test_the_same_text_asked_another_way_is_no_duplicate(tmp_path: Path) -> None:
    loaded = load(
        _file(tmp_path, b'{"prompt": "a"}\n{"prompt": "a", "category": "c"}\n{"category": "c", "prompt": "a"}\n')
    )
    assert len(loaded.prompts) == 2
    assert loaded.duplicates == ((3, 2),)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="contains no prompts"):
        load(_file(tmp_path, content))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="directory"):
        load(tmp_path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "prompts.jsonl"
    prompts = (Prompt(prompt="Wo ist\u2028é?", expect={"number": 3}, split="test"), Prompt(prompt="b", workspace="/x"))
    write(prompts, path)
    assert load(path).prompts == prompts
    assert [file.name for file in path.parent.iterdir()] == ["prompts.jsonl"]


def test_a_directory_is_no_place_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (".", "..", str(tmp_path)):
        with pytest.raises(UsageError, match="it is a directory; name a file"):
            write([Prompt(prompt="a")], Path(place))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)

    def broken() -> Iterator[Prompt]:
        yield Prompt(prompt="a")
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match="No space left"):
        write(broken(), path)
    assert path.read_bytes() == GOOD
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.jsonl"]


def test_a_hundred_thousand_lines_load_in_seconds(tmp_path: Path) -> None:
    lines = (json.dumps({"prompt": f"Where is {n}?", "expect": {"number": n}}) for n in range(100_000))
    path = _file(tmp_path, "\n".join(lines).encode())
    started = time.process_time()
    assert len(load(path).prompts) == 100_000
    assert time.process_time() - started < 30  # about 3 s on a free core; the bound only catches quadratic work
