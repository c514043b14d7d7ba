"""SalUn's masks against a slow literal reading, the full method, and what makes an error."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from PIL import Image

import conceptrevive as cr
from conceptrevive.unlearning.denoising import NoisePredictor
from conceptrevive.unlearning.draws import NOISE, generator
from conceptrevive.unlearning.examples import concept_examples
from conceptrevive.unlearning.salun import relabelling_loss
from tests.unlearning.literal import CONCEPT, LAYERS, Literal, highest

pytestmark = pytest.mark.usefixtures("one_thread")

GIVEN = dict(ratio=0.3, layers=LAYERS, pictures=3, guidance=1.5, seed=4, batch_size=2)


@pytest.fixture(scope="module")
def found(tiny):
    return cr.locate_salun(tiny, CONCEPT, **GIVEN)


def test_masks_equal_the_literal_reading(tiny, found):
    shown = concept_examples(tiny, CONCEPT, 3, seed=4)
    source = generator(4, NOISE)
    times = torch.randint(1000, (3,), generator=source).tolist()
    noise = torch.randn(shown.latents.shape, generator=source)
    literal, total = Literal(tiny), {}
    for i in range(3):
        prompt = CONCEPT.target_prompts[i % 2]
        one = literal.gradient(shown.latents[i], times[i], noise[i], prompt, 1.5)
        for name, gradient in one.items():
            total[name] = total.get(name, 0) + gradient
    masks, near, count = highest({n: g.abs() for n, g in total.items()}, 0.3)
    assert list(found) == list(LAYERS) and found.count == count
    for name in LAYERS:
        assert near[name].float().mean() < 0.01
        assert torch.equal(found[name] | near[name], masks[name] | near[name]), name
    assert all(bool(m.any()) for m in found.values()), "every kind of layer is among the highest"


def test_the_same_again_and_whatever_the_batches(tiny, found):
    again = cr.locate_salun(tiny, CONCEPT, **GIVEN | {"batch_size": 3})
    other = cr.locate_salun(tiny, CONCEPT, **GIVEN | {"seed": 5})
    assert sum(int((again[n] != found[n]).sum()) for n in found) <= 2
    assert any(not torch.equal(other[n], found[n]) for n in found)
    assert (found.method, found.seed, found.sampling) == ("salun", 4, "own")
    assert found.skill_ratio is None and found.tau is None


def test_the_model_is_left_alone_and_pruned_by_what_is_found(tiny, found):
    before = {n: p.clone() for n, p in tiny.unet.named_parameters()}
    done = []
    cr.locate_salun(tiny, CONCEPT, **GIVEN, progress=done.append)
    assert sum(done) == 6, "three pictures drawn, three differentiated"
    assert all(torch.equal(p, before[n]) for n, p in tiny.unet.named_parameters())
    assert all(p.grad is None and not p.requires_grad for p in tiny.unet.parameters())
    assert not tiny.unet._forward_pre_hooks
    pruned = cr.prune(cr.read_weights(tiny, LAYERS), found)
    assert sum(int((w == 0).sum()) for w in pruned.values()) == found.count


def test_pictures_of_ones_own(tiny, found):
    own = [(Image.new("RGB", (40, 20), colour), "a cat") for colour in ("red", "blue")]
    masks = cr.locate_salun(tiny, CONCEPT, **GIVEN | {"pictures": own})
    assert masks.count == found.count
    assert any(not torch.equal(masks[n], found[n]) for n in found)


def test_every_linear_layer_unless_told(tiny):
    masks = cr.locate_salun(tiny, CONCEPT, pictures=1, guidance=0, batch_size=1)
    linear = {n for n, m in tiny.unet.named_modules() if isinstance(m, torch.nn.Linear)}
    assert set(masks) == linear and len(linear) > 40
    assert masks.count == int(0.01 * sum(m.numel() for m in masks.values()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratio": 0}, r"ratio is 0: it is a share of all weights of the chosen layers, in \(0, 1"),
        ({"ratio": math.nan}, "ratio is nan: it is a share"),
        ({"ratio": "0.1"}, "ratio is a str: give a number"),
        ({"ratio": 1e-9, "pictures": 1}, r"ratio 1e-09 selects none of \d+ weights: raise it"),
        ({"guidance": -1}, "guidance is -1: give 0 for the prompt's prediction alone, or a number"),
        ({"seed": 10**6}, "seed is 1000000: from 1000000 on seeds belong to evaluations"),
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"layers": []}, "layers has no names: give some, or None for the default"),
        ({"layers": "mid"}, "layers 'mid' matches none of"),
        (
            {"layers": "text_encoder/*"},
            "is no layer of the denoiser, through which alone gradients",
        ),
        ({"layers": ["conv_norm_out"]}, "has no linear layer or convolution named 'conv_norm_out'"),
        ({"pictures": 0}, "pictures is 0: draw at least one"),
        ({"pictures": 1.5}, "pictures is a float: give a whole number"),
        ({"pictures": []}, "pictures is empty: give at least one, with its prompt"),
        ({"pictures": ["a cat"]}, r"pictures\[0\] is no \(PIL image, prompt\): give a whole"),
        ({"pictures": [("a", "cat")]}, r"pictures\[0\] is no \(PIL image, prompt\): give"),
    ],
)
def test_settings_of_a_wrong_kind(tiny, given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate_salun(tiny, CONCEPT, **GIVEN | given)


def test_a_concepts_name_is_no_concept(tiny):
    with pytest.raises(cr.ConceptReviveError, match="concept is a str: give a Concept, as"):
        cr.locate_salun(tiny, "cat")


def changed(tiny, **parts):
    pipe = copy.copy(tiny)
    for name, part in parts.items():
        setattr(pipe, name, part)
    return pipe


def test_a_layer_without_gradient_is_named(tiny):
    unet = copy.deepcopy(tiny.unet)
    unet.get_submodule(LAYERS[1].replace("to_v", "to_out.0")).weight.data.zero_()
    message = rf"{LAYERS[1]}: the gradient of the loss is 0 everywhere: it takes no part in the"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate_salun(changed(tiny, unet=unet), CONCEPT, **GIVEN)
    unet.unused = torch.nn.Linear(3, 2)
    with pytest.raises(
        cr.ConceptReviveError, match=r"unused: the loss has no gradient there: .*of `layers`"
    ):
        cr.locate_salun(changed(tiny, unet=unet), CONCEPT, **GIVEN | {"layers": ["unused"]})


def test_models_that_cannot_be_differentiated_are_named(tiny):
    half = changed(tiny, unet=copy.deepcopy(tiny.unet).half())
    with pytest.raises(
        cr.ConceptReviveError, match="is float16, in which gradients vanish: load the model with"
    ):
        cr.locate_salun(half, CONCEPT, **GIVEN)
    unet = copy.deepcopy(tiny.unet)
    unet._hf_hook = object()
    with pytest.raises(cr.ConceptReviveError, match="offloaded, and gradients need it in one plac"):
        cr.locate_salun(changed(tiny, unet=unet), CONCEPT, **GIVEN)


# --- the full method ------------------------------------------------------------------------------

TRAINED = dict(layers=LAYERS, pictures=4, retained=4, guidance=0, steps=6, seed=4, batch_size=4)


def forgetting(tiny, weights, substitute="a dog"):
    """The relabelling loss on pictures and noise of another seed."""
    predictor = NoisePredictor(tiny, LAYERS)
    shown = concept_examples(tiny, CONCEPT, 4, seed=4)
    (batch,) = predictor.batches(shown, 4, generator(9, NOISE))
    with torch.no_grad():
        return float(relabelling_loss(predictor, weights, batch, substitute))


def test_relabelling_is_learnt_by_what_is_located_alone(tiny):
    masks = cr.locate_salun(
        tiny, CONCEPT, ratio=0.5, layers=LAYERS, pictures=4, guidance=0, seed=4, batch_size=4
    )
    before = cr.read_weights(tiny, LAYERS)
    given = TRAINED | {"steps": 20, "lr": 1e-2, "alpha": 0}
    out = cr.unlearn_salun(tiny, CONCEPT, **given)
    assert list(out) == list(LAYERS)
    for name, weight in out.items():
        changed = weight != before[name]
        assert not changed[~masks[name]].any(), "bit-equal where nothing was located"
        assert not masks[name].any() or changed[masks[name]].float().mean() > 0.9
    assert forgetting(tiny, out) < 0.7 * forgetting(tiny, before)
    del given["layers"]
    same = cr.unlearn_salun(tiny, CONCEPT, masks=masks, **given)
    assert all(torch.equal(same[n], w) for n, w in out.items()), "located or given"
    assert all(torch.equal(w, cr.read_weights(tiny, [n])[n]) for n, w in before.items())


def test_a_stopped_training_goes_on(tiny, tmp_path):
    short = TRAINED | {"steps": 2}
    whole = cr.unlearn_salun(tiny, CONCEPT, **TRAINED)
    half = tmp_path / "half.safetensors"
    cr.unlearn_salun(tiny, CONCEPT, **short, checkpoint=half)
    rest = cr.unlearn_salun(tiny, CONCEPT, **TRAINED, checkpoint=half)
    assert all(torch.equal(rest[n], w) for n, w in whole.items())
    with pytest.raises(cr.ConceptReviveError, match="is not of this training"):
        cr.unlearn_salun(tiny, CONCEPT, **TRAINED | {"alpha": 0.1}, checkpoint=half)


def test_the_loss_on_the_rest_is_weighted_by_alpha(tiny):
    """One step of plain Adam moves each weight by lr against the sign of its gradient."""
    given = TRAINED | {"steps": 1, "lr": 1e-3}
    before = cr.read_weights(tiny, LAYERS)
    steps = {
        alpha: cr.unlearn_salun(tiny, CONCEPT, **given, ratio=1, alpha=alpha) for alpha in (0, 9)
    }
    name = LAYERS[0]
    signs = {alpha: (out[name] - before[name]).sign() for alpha, out in steps.items()}
    assert (signs[0] != signs[9]).float().mean() > 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": -1}, "alpha is -1: give 0 or more"),
        ({"substitute": 3}, "substitute is a int: give a prompt"),
        ({"steps": 0}, "steps is 0: train for at least one"),
        ({"masks": {}}, "masks and layers exclude each other: masks name their layers"),
        ({"retained": 0}, "retained is 0: draw at least one"),
        ({"ratio": 0}, "ratio is 0: it is a share"),
    ],
)
def test_settings_of_the_full_method(tiny, given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.unlearn_salun(tiny, CONCEPT, **TRAINED | given)
