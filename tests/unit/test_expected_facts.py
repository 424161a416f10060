import pytest

from config.errors import UsageError
from config.questions.expected_facts import holds, parse_expected
from config.records import JsonObject

ANSWERS = [
    ({"contains": ["Task"]}, "The class Task is there.", True),  # at a word's bounds
    ({"contains": ["foo"]}, "foobar and barfoo", False),  # inside a longer name
    ({"contains": ["foo"]}, "see foo.py", False),  # a file is not the name
    ({"contains": ["foo"]}, "It is foo.", True),  # the full stop belongs to the sentence
    ({"contains": ["foo"]}, "`foo`, 'bar'", True),  # quoted
    ({"contains": ["foo"]}, "pkg.foo", True),  # qualified
    ({"contains": ["Foo"]}, "foo", False),  # code is exact
    ({"contains": ["foo"]}, "Foo starts a sentence", True),  # plain words in any case
    ({"contains": ["a", "b"]}, "a only", False),  # all must occur
    ({"contains": ["base.py"]}, "app/base.py", False),  # another file of that name
    ({"contains": ["app/base.py"]}, "./app/base.py", True),  # the same path written from here
    ({"contains": ["app/base.py"]}, "myapp/base.py", False),  # another directory
    ({"contains": ["app"]}, "app/base.py", False),  # a directory in a path is no name
    ({"contains": ["non"]}, "a non-empty list", False),  # half of a hyphenated word
    ({"contains": ["Set default app"]}, "set  default\napp.", True),  # white space and case of a phrase
    ({"any": ["LIFO", "last"]}, "the last one", True),  # one is enough
    ({"any": ["LIFO", "last"]}, "the first one", False),
    ({"any": ["LIFO", "last"]}, "It is not the last one.", False),  # denied
    ({"contains": ["lock"]}, "It never takes the lock. It waits for the lock.", True),  # denied once, stated once
    ({"absent": ["celery"]}, "no celery here", False),
    ({"absent": ["celery"]}, "nothing here", True),
    ({"number": 12}, "There are 12 files.", True),
    ({"number": 12}, "112 files", False),
    ({"number": 12}, "12.5 files", False),
    ({"number": 12}, "12.0", True),
    ({"number": 12}, "about -12", False),
    ({"number": 12}, "v12", False),
    ({"number": 12}, "base.py:12", False),  # a line number
    ({"number": 12}, "on 3/12", False),
    ({"number": 1234}, "1,234 rows", True),
    ({"number": 234}, "1,234 rows", False),
    ({"number": 12}, "Twelve files", True),
    ({"number": 20}, "twenty-one", False),
    ({"number": 20}, "twenty one", False),
    ({"number": 1}, "twenty one", False),
    ({"number": 2}, "two hundred", False),
    ({"number": 1}, "one of them", False),  # a pronoun
    ({"number": 1}, "There is one file", True),
    ({"number": 0}, "zero files", True),
    ({"number": 21}, "twenty-one", True),
    ({"number": 3, "contains": ["a.py"]}, "a.py has 4", False),  # every key counts
]


@pytest.mark.parametrize(("expect", "answer", "true"), ANSWERS)
def test_holds_looks_for_whole_facts(expect: JsonObject, answer: str, true: bool) -> None:
    assert holds(expect, answer) is true


SHAPES = [
    ({}, "empty"),
    ({"contain": ["a"]}, "did you mean 'contains'"),
    ({"colour": ["a"]}, "unknown key 'colour'"),
    ({"contains": "a"}, "list of strings"),
    ({"contains": []}, "list of strings"),
    ({"any": [" "]}, "non-empty"),
    ({"any": [3]}, "3"),
    ({"number": True}, "must be a number"),  # a bool is an int to Python
    ({"number": "12"}, "'12'"),
    ({"unit": "minutes"}, "needs number"),
    ({"number": 2, "counts": ""}, "non-empty string"),
    ({"names": ["a"], "kind": "animal"}, "'animal'"),
    ({"pairs": {"A": 3}}, "names and their paths"),
    ({"no_call": False}, "must be true"),
    ({"number": 3, "counts": "fiels"}, "counts must be one of files, lines, .*, not 'fiels'"),
    ({"about": ["x"]}, "needs number"),
]


@pytest.mark.parametrize(("expect", "says"), SHAPES)
def test_a_misshapen_expect_is_told(expect: JsonObject, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_expected(expect)
