"""Contact sheets: the heads of columns stay apart."""

from PIL import Image

from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.laboratory import encode
from conceptrevive.experiments.reproduction.sheet import GAP, LABELS, SIZE, _font, contact_sheet


def result_of(concept: str) -> Result:
    picture = encode(Image.new("RGB", (8, 8), "black"))
    cell = Cell("styles", concept, "pruned", n=1)
    return Result(cell, "0", {}, {"pictures": [picture]}, 0.0, {})


def test_a_long_name_does_not_reach_the_next_column():
    sheet = contact_sheet([result_of("stained glass"), result_of("sepia")])
    assert sheet is not None
    assert _font().getlength("stained glass") > SIZE + GAP  # or the test sees nothing
    top = sheet.height - SIZE - GAP
    before_next = LABELS + SIZE
    assert sheet.crop((before_next, 0, before_next + GAP, top)).getcolors() == [
        (GAP * top, (255, 255, 255))
    ]


def test_pictures_stand_below_the_heads():
    for names in (["sepia"], ["stained glass", "sepia"]):
        sheet = contact_sheet([result_of(name) for name in names])
        assert sheet is not None
        at = (LABELS + SIZE // 2, sheet.height - GAP - SIZE // 2)
        assert sheet.getpixel(at) == (0, 0, 0)
