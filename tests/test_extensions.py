"""Functions of others: passed in, registered by a package, or named as `module:function`."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from conceptrevive import extensions
from conceptrevive.errors import ConceptReviveError

SHIPPED = {"max": max, "average": sum}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with a module `mine_of_tests`."""
    (tmp_path / "mine_of_tests.py").write_text(
        'def find(x):\n    """Doubles.\n\n    More.\n    """\n    return 2 * x\n\nSIZE = 3\n'
    )
    (tmp_path / "broken_of_tests.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "raises_of_tests.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [n for n in sys.modules if n.endswith("_of_tests")]:
        del sys.modules[name]


@pytest.fixture
def register(monkeypatch):
    """Let packages register {name: module:function} in a group."""

    def run(group, *entries):
        found = EntryPoints(EntryPoint(n, v, group) for n, v in entries)
        monkeypatch.setattr(extensions, "entry_points", lambda group: found.select(group=group))

    return run


def test_a_function_is_itself_and_a_shipped_name_its_own(here):
    assert extensions.find("magnitudes", here.exists, SHIPPED)()
    assert extensions.find("magnitudes", "max", SHIPPED) is max


def test_a_module_in_the_working_folder(here):
    before = list(sys.path)
    found = extensions.find("locators", "mine_of_tests:find", {})
    assert found(3) == 6 and sys.path == before
    assert extensions.summary(found) == "Doubles."


def test_a_registered_name(here, register):
    register("conceptrevive.judges", ("mine", "mine_of_tests:find"), ("max", "mine_of_tests:find"))
    assert extensions.find("judges", "mine", SHIPPED)(4) == 8
    assert extensions.find("judges", "max", SHIPPED) is max  # nobody replaces what is shipped
    with pytest.raises(ConceptReviveError, match="method 'mine' is unknown: choose one of max"):
        extensions.find("locators", "mine", SHIPPED)


def test_one_name_of_two_packages_is_told(register):
    register("conceptrevive.judges", ("mine", "one:find"), ("mine", "two:find"))
    with pytest.raises(
        ConceptReviveError,
        match="judge 'mine' is registered twice, as one:find and as two:find: uninstall one",
    ):
        extensions.find("judges", "mine", {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("maxx", r"is unknown \(did you mean 'max'\?\): choose one of max, average; or give your"),
        (3, "magnitude is a int: choose one of max, average; or give your own as module:function,"),
        ("mine_of_tests:", "names no function: give module:function, as mine:find of mine.py"),
        ("./mine.py:find", "names no function: give module:function"),
        ("absent_of_tests:find", "there is no module 'absent_of_tests', neither installed nor in"),
        ("broken_of_tests:find", "importing broken_of_tests failed, ModuleNotFoundError: No modul"),
        ("raises_of_tests:find", "importing raises_of_tests failed, RuntimeError: two lines"),
        ("mine_of_tests:fnd", r"mine_of_tests has no 'fnd' \(did you mean 'find'\?\): name a func"),
        ("mine_of_tests:SIZE", "is a int, not a function: name a function"),
    ],
)
def test_what_cannot_be_had_is_told(given, message, here):
    with pytest.raises(ConceptReviveError, match=message):
        extensions.find("magnitudes", given, SHIPPED)


def test_what_a_function_of_others_raises_is_said_to_be_its_own():
    def mine(x):
        raise KeyError("two\nlines")

    for call in (lambda: mine(1), lambda: mine(1, 2)):
        with pytest.raises(
            ConceptReviveError,
            match=r"^method 'mine' failed, (KeyError: 'two|TypeError: .*takes 1 positional).*: "
            r"mend it, and see that it takes what it is called with; CONCEPTREVIVE_DEBUG=1",
        ) as e:
            with extensions.of_others("locators", mine):
                call()
        assert isinstance(e.value.__cause__, KeyError | TypeError)
    for error in (ConceptReviveError, MemoryError):
        with pytest.raises(error, match=r"^this$"), extensions.of_others("judges", "own:judge"):
            raise error("this")
