"""Where a fault would change words only, and which lines a test must run to notice one."""

from mutation.forks import choose
from mutation.places import is_text, statement, texts

SOURCE = """def f(x: int | None) -> list[int]:
    y: float = 1 + 2
    if x is None or x < 0:
        raise ValueError(f"é {x + 1}", y)
    warnings.warn("x" * 2)
    return [
        x + 1,
    ]
"""


def position(words):
    before = SOURCE[: SOURCE.index(words)]
    return before.count("\n") + 1, len(before) - before.rfind("\n") - 1


def test_messages_warnings_and_annotations_are_words():
    spans = texts(SOURCE)
    for words in ("int | None", "list[int]", "float", "ValueError", "+ 1}", ", y)", '"x" * 2'):
        assert is_text(spans, position(words)), words
    for code in ("1 + 2", "x is None", "< 0", "x + 1,"):
        assert not is_text(spans, position(code)), code


def test_a_statement_is_its_lines_and_a_compound_one_its_head():
    assert statement(SOURCE, 7) == range(6, 9)
    assert statement(SOURCE, 3) == range(3, 4)
    assert statement(SOURCE, 4) == range(4, 5)
    assert statement(SOURCE, 1) == range(1, 2)


def test_tests_are_chosen_by_the_lines_they_run():
    seconds = {"a.py::one": 2.0, "a.py::two": 1.0, "b.py::three": 3.0}
    lines = {"m.py": {"3": ["a.py::one"], "4": ["a.py"], "5": [""], "6": ["b.py::three"]}}
    told = {"seconds": seconds, "lines": lines}
    assert choose(told, "m.py", range(3, 4)) == ["a.py::one"]
    assert choose(told, "m.py", range(4, 5)) == ["a.py::two", "a.py::one"]  # a fixture's
    assert choose(told, "m.py", range(5, 6)) == ["a.py::two", "a.py::one", "b.py::three"]
    assert choose(told, "m.py", range(9, 10)) == []
    assert choose(told, "n.py", range(3, 4)) == []
