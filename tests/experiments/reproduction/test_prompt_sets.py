"""Files of prompts: read as they are written, and what is wrong with them said."""

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.reproduction.prompt_sets import read_sets


@pytest.fixture
def written(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_text_and_tables_are_read_in_their_order(written):
    text = written("a.txt", "\ufeffone road\n\n  two roads \n")
    table = written("b.csv", 'id,adv_prompt,prompt\n1,no,"a road, wide"\n2,no,\n3,no,a park\n')
    other = written("c.csv", "target_prompt,adv_prompt\nplain,odd words\n")
    found = read_sets([f"direction={text}", f"indirect={table}", f"adversarial={other}"])
    assert list(found) == ["indirect", "adversarial", "direction"]
    assert found["indirect"].prompts == ("a road, wide", "a park")
    assert found["adversarial"].prompts == ("odd words",)
    assert found["direction"].prompts == ("one road", "two roads")
    assert found["direction"].file == "a.txt"
    assert len({each.digest for each in found.values()}) == 3
    assert read_sets([]) == {}


def test_a_folder_holds_files_named_by_their_set(written, tmp_path):
    written("indirect.csv", "prompt\na road\n")
    written("direction.txt", "a park\n")
    written("notes.txt", "not a set\n")
    found = read_sets([str(tmp_path)])
    assert {name: each.prompts for name, each in found.items()} == {
        "indirect": ("a road",),
        "direction": ("a park",),
    }


@pytest.mark.parametrize(
    ("name", "text", "given", "said"),
    [
        ("a.txt", "x", "indirekt={}", r"no prompt set 'indirekt' \(did you mean 'indirect'\?\): "),
        ("a.txt", " \n\n", "indirect={}", r"a\.txt holds no prompts: give --prompts SET=FILE"),
        ("a.txt", b"\xff\xfe", "indirect={}", r"a\.txt: it is no text in UTF-8; save it as such"),
        ("a.csv", "text\nx\n", "indirect={}", r"a\.csv has no column 'prompt' or 'adv_prompt': na"),
        ("a.csv", "prompt\n\n", "indirect={}", r"a\.csv holds no prompts"),
        ("a.txt", "x", "indirect={}.gone", r"cannot read prompts from .*gone \(No such file"),
        ("a.txt", "x", "{}", r"--prompts .*a\.txt is no folder: give --prompts SET=FILE, or a fol"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(written, name, text, given, said):
    with pytest.raises(ConceptReviveError, match=said):
        read_sets([given.format(written(name, text))])


def test_a_set_given_twice_and_a_folder_without_any(written, tmp_path):
    file = written("indirect.txt", "x")
    with pytest.raises(ConceptReviveError, match=r"'indirect' is given twice, by .* and .*: leave"):
        read_sets([f"indirect={file}", str(tmp_path)])
    file.unlink()
    with pytest.raises(ConceptReviveError, match="has no file of a set: give --prompts SET=FILE"):
        read_sets([str(tmp_path)])
