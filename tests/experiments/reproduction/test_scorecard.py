"""Claims against studies whose differences are known: direction, interval, correction, gaps."""

import json
from dataclasses import asdict, replace
from statistics import NormalDist

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.claims import (
    CLAIMS,
    Claim,
    right_and_coin,
    surest_and_rest,
)
from conceptrevive.experiments.reproduction.contrasts import (
    holm,
    numbers,
    over_concepts,
    p_of,
    pictures,
    summarised,
)
from conceptrevive.experiments.reproduction.profiles import LAPTOP
from conceptrevive.experiments.reproduction.scorecard import Scorecard, read_studies, scorecard
from conceptrevive.intervals import paired_difference
from tests.pages.made_up import study_of


def studied(rows, kind="erased", name="objects", **numbers):
    """A study of rows: recipe → concept → outcomes as digits."""
    known = study_of("objects")
    model = known.entries[0]
    entries = [
        replace(
            model,
            concept=concept,
            recipe=recipe,
            n=len(digits),
            outcomes={kind: digits},
            numbers={"weights": recipe} | numbers.get(recipe, {}),
        )
        for recipe, concepts in rows.items()
        for concept, digits in concepts.items()
    ]
    return replace(known, experiment=name, entries=tuple(entries))


def claim(key, after, before, direction=1, measure=pictures):
    found = measure(after, before)
    return Claim(key, "Table 0", f"{key} words", "objects", direction, (0.5, 0.1), found)


MANY = {"golf": "1" * 18 + "00", "star": "1" * 15 + "0" * 5}
NONE = {"golf": "0" * 20, "star": "0" * 20}
SOME = {"golf": "1" + "0" * 19, "star": "0" * 20}
WHY = {("down", "opposite"): "because", ("open", "opposite"): "of another verdict"}
STUDY = studied({"a": MANY, "b": NONE, "c": SOME})


def test_directions_by_hand():
    claims = [
        claim("up", "a", "b"),
        claim("down", "a", "b", direction=-1),
        claim("open", "c", "b"),
        claim("gone", "a", "nobody"),
        replace(claim("later", "a", "b"), experiment="styles"),
    ]
    card = scorecard({"objects": STUDY}, WHY, claims)
    assert [x.verdict for x in card.lines] == [
        "same", "opposite", "not decided", "not measured", "not measured",
    ]  # fmt: skip
    up, down, _, gone, later = card.lines
    assert up.ours.difference == 33 / 40 and (up.ours.after, up.ours.before) == (33 / 40, 0)
    first = [c == "1" for name in MANY for c in MANY[name]]
    assert up.ours.interval == paired_difference(first, [False] * 40)[1]
    assert (up.ours.up, up.ours.down, up.ours.n, up.ours.draws) == (2, 0, 40, "pictures")
    assert (up.why, down.why) == ("", "because")
    assert gone.missing == "its rows are not among the published ones"
    assert later.missing == "not published" and later.ours is None and later.p_corrected is None
    assert card.family == 3 and card.count("same") == 1 and card.count("not measured") == 2
    assert card.unexplained() == ("open",)


def test_the_correction_can_take_a_decision_back():
    # Seven of twenty gained, one lost: decided alone, not among ten.
    rows = {"x": {"golf": "1" * 7 + "0" * 13}, "y": {"golf": "0" * 19 + "1"}}
    alone = scorecard({"objects": studied(rows)}, {}, [claim("one", "x", "y")]).lines[0]
    assert (alone.verdict, alone.corrected) == ("same", "same")
    assert alone.p_corrected == alone.ours.p < 0.05
    many = [claim(str(i), "x", "y") for i in range(10)]
    card = scorecard({"objects": studied(rows)}, {}, many)
    assert {(x.verdict, x.corrected) for x in card.lines} == {("same", "not decided")}
    assert card.lines[0].p_corrected == pytest.approx(10 * alone.ours.p)
    assert len(card.unexplained()) == 10
    why = {(str(i), "not decided"): "chance" for i in range(9)}
    card = scorecard({"objects": studied(rows)}, why, many)
    assert card.unexplained() == ("9",) and card.lines[0].why == "chance"


def test_holm_by_hand():
    # Holm 1979: m, m − 1, … times the ordered p values, never falling, at most 1.
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0} and holm({}) == {}


def test_p_is_that_of_the_interval():
    z = NormalDist().inv_cdf(0.975)
    assert p_of((0.0, 2 * z)) == pytest.approx(0.05)
    assert p_of((0.5 - z, 0.5 + z)) == pytest.approx(2 * NormalDist().cdf(-0.5))
    assert p_of((-0.2, 0.2)) == 1.0 and p_of((0.0, 0.0)) == 1.0


def test_equal_weights_differ_by_exactly_0_and_decide_nothing():
    rows = {"a": MANY, "b": MANY}
    twins = studied(rows, a={"weights": "w"}, b={"weights": "w"})
    found = pictures("a", "b")(twins)
    assert (found.difference, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)
    assert pictures("a", "b")(studied(rows)).interval[0] < 0


def test_a_picture_that_concepts_share_is_one_draw():
    few = replace(LAPTOP, top_k=(0.6,), bits=(4,), retained=8)
    apart = pictures("neuron max 0.6", "pruned", "retained")(study_of("objects", few))
    assert apart.n == 12 * 8  # each concept looks at others of its own
    many = replace(few, retained=400)  # more than there are: they meet again
    together = pictures("neuron max 0.6", "pruned", "retained")(study_of("objects", many))
    assert together.n < 12 * 400
    own = pictures("neuron max 0.6", "pruned")(study_of("objects", few))
    assert own.n == 12 * 16


def test_concepts_as_draws_by_hand():
    found = over_concepts([(0.8, 0.5), (0.7, 0.5), (0.9, 0.5)])
    half = 4.302652729911275 * 0.1 / 3**0.5  # Student's t, 2 degrees of freedom
    assert found.difference == pytest.approx(0.3)
    assert found.interval == pytest.approx((0.3 - half, 0.3 + half))
    assert (found.n, found.draws, found.up, found.down) == (3, "concepts", 3, 0)
    assert over_concepts([(1.0, 0.0)]) is None and over_concepts([]) is None
    assert over_concepts([(1.0, 1.0), (0.5, 0.5)]).p == 1.0
    rows = {"a": {"golf": "1", "star": "1"}, "b": {"golf": "1", "star": "1"}}
    told = studied(rows, a={"fid": 20}, b={"fid": 18.5})
    assert numbers("a", "b", "fid")(told).difference == pytest.approx(1.5)
    assert numbers("a", "b", "clip")(told) is None


def test_a_difference_of_the_summarys_keeps_its_interval():
    rows = {"a": {"golf": "1", "star": "1"}, "b": {"golf": "1", "star": "1"}}
    told = {"similarity": {"value": 0.3}}, {"similarity": {"value": 0.2}}
    study = studied(rows, a=told[0], b=told[1])
    row = {"similarity_minus_b": {"value": 0.1, "interval": [0.05, 0.15]},
           "fid_minus_b": {"value": 1.0, "interval": None}}  # fmt: skip
    study = replace(study, summary={"rows": {"a": row, "b": {}}})
    found = summarised("a", "b", "similarity")(study)
    assert (found.after, found.before, found.difference) == pytest.approx((0.3, 0.2, 0.1))
    assert found.interval == (0.05, 0.15) and found.up == 2 and found.p < 0.001
    assert summarised("a", "b", "fid")(study) is None
    assert summarised("b", "a", "similarity")(study) is None
    assert summarised("a", "b", "similarity")(replace(study, summary={})) is None


def test_cells_of_one_set_of_prompts_alone_are_compared():
    rows = {"a": {"golf": "1111111111"}, "b": {"golf": "0000000000"}}
    study = studied(rows, "detected")
    mine = [replace(e, settings={**e.settings, "prompt_set": "x"}) for e in study.entries]
    other = [replace(e, outcomes={"detected": "0101010101"}) for e in study.entries]
    study = replace(study, entries=(*other, *mine))
    assert pictures("a", "b", "detected", {"prompt_set": "x"})(study).difference == 1.0
    assert pictures("a", "b", "detected", {"prompt_set": "y"})(study) is None


def test_a_time_is_beside_the_papers_but_in_no_family():
    claims = [c for c in CLAIMS if c.key in ("cost", "max")]
    studies = {name: study_of(name) for name in ("cost", "objects")}
    _, cost = scorecard(studies, {}, claims).lines
    assert cost.ours.interval == pytest.approx((0.4 - 420, 0.7 - 420)) and cost.ours.after == 0.5
    assert (cost.verdict, cost.corrected, cost.p_corrected) == ("same", "same", None)
    assert scorecard(studies, {}, claims).family == 1


def test_sign_accuracy_is_set_beside_a_coin_and_the_surest_beside_the_rest():
    entry = next(e for e in study_of("accuracy").entries if e.recipe == "paper")
    assert right_and_coin(entry) == (0.7, 0.5)
    assert surest_and_rest(entry) == pytest.approx((0.82, (0.5 + 0.58 + 0.66 + 0.74) / 4))
    other = replace(entry, recipe="conditional")
    assert right_and_coin(other) is None and surest_and_rest(other) is None


def test_the_claims_are_the_papers_numbers_and_their_directions():
    assert len({c.key for c in CLAIMS}) == len(CLAIMS) > 25
    for c in CLAIMS:
        if None not in c.paper:
            assert c.direction * (c.paper[0] - c.paper[1]) > 0, c.key
    paper = {c.key: (c.paper, c.single) for c in CLAIMS}
    assert paper["max"] == ((0.54, 0.08), False)
    assert paper["exact signs revive"] == ((0.34, 0.08), True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_that_a_claim_names_is_one_that_the_laptop_profile_measures(name):
    mine = [c for c in CLAIMS if c.experiment == name]
    study = study_of(name) if mine else None
    assert all(c.measure(study) is not None for c in mine)


def test_a_scorecard_reads_back_typed_and_gaps_are_no_crash(tmp_path):
    empty = scorecard(read_studies(tmp_path, ["signs", "objects"]), {})
    assert empty.family == 0 and {x.verdict for x in empty.lines} == {"not measured"}
    card = scorecard({"objects": study_of("objects")}, {})
    (tmp_path / "s.json").write_text(json.dumps(asdict(card)))
    assert Scorecard.read(tmp_path / "s.json") == card
    assert card.sources["objects"]["versions"]["commit"] == "0123456789ab"
    (tmp_path / "objects.json").write_text("{}")
    with pytest.raises(ConceptReviveError, match=r"objects\.json is no study that this version"):
        read_studies(tmp_path, ["objects"])
