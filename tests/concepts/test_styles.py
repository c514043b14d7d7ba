"""The evaluation of styles says fifty things and more, none of them one that locates."""

import pytest

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.paper import ARTISTS
from conceptrevive.concepts.presets import get_concept
from conceptrevive.concepts.styles import STARTS, style_prompts, styles_of


@pytest.mark.parametrize(
    ("preset", "name"), [*(("pocket", s) for s in W.STYLES), *(("paper", a) for a in ARTISTS)]
)
def test_fifty_prompts_of_their_own(preset, name):
    concept = get_concept(name, preset)
    prompts = style_prompts(concept, preset)
    assert len(set(prompts)) == len(prompts) >= 50 and all(name in p for p in prompts)
    assert not {*prompts} & {*concept.target_prompts, *concept.base_prompts}
    assert {*concept.eval_prompts} <= {*prompts}
    # Whatever number is taken, no phrase is asked more than once oftener than another.
    words = STARTS if preset == "pocket" else ("a painting of", "painted by", "a picture of")
    counts = [sum(w in p for p in prompts[:50]) for w in words]
    assert sum(counts) == 50 and max(counts) - min(counts) <= 2
    things = {w for p in prompts[: len(prompts) // 3] for w in p.split()}
    assert len(things) > 20, "every thing once before any comes again"


def test_what_is_no_style_is_asked_for_in_its_own_words():
    cat = get_concept("cat")
    assert style_prompts(cat, "pocket") == cat.eval_prompts
    mine = Concept("sketch", ("my sketch",), ("a photo",), eval_prompts=("a sketch of mine",))
    assert style_prompts(mine, "pocket") == ("a sketch of mine",)
    assert style_prompts(Concept("x", ("an x",), ("a y",)), "paper") == ("an x",)
    assert styles_of("pocket") == W.STYLES and styles_of("paper") == ARTISTS
