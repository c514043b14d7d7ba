"""Names of experiments and profiles, and what the command says of those that there are not."""

from importlib import import_module

import pytest

from conceptrevive.cli import main
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.reproduction.bench import Experiment
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS, get_experiments
from conceptrevive.experiments.reproduction.profiles import LAPTOP, PAPER, SMOKE, get_profile


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_name_is_an_experiment_in_a_file_of_its_own(name):
    module = import_module(f"conceptrevive.experiments.reproduction.{name}")
    experiment = module.EXPERIMENT
    assert isinstance(experiment, Experiment)
    # The runner finds the code that a cell depends on by the module of its measurement.
    assert experiment.measure.__module__ == module.__name__
    assert get_experiments(name) == (name,)


def test_all_is_every_experiment():
    assert get_experiments("all") == tuple(EXPERIMENTS)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConceptReviveError, match=r"no experiment 'object' \(did you mean 'obj"):
        get_experiments("object")
    with pytest.raises(ConceptReviveError, match=r"no profile 'labtop' \(did you mean 'laptop'\?"):
        get_profile("labtop")
    assert get_profile("paper") is PAPER


def test_profiles_grow():
    for smaller, larger in ((SMOKE, LAPTOP), (LAPTOP, PAPER)):
        assert smaller.images < larger.images and smaller.concepts <= larger.concepts
        assert set(smaller.bits) <= set(larger.bits) and set(smaller.top_k) <= set(larger.top_k)
    assert LAPTOP.top_k == tuple(k / 10 for k in range(1, 11)) and PAPER.images == 500


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sings"], "no experiment 'sings' (did you mean 'signs'?): choose one of signs, objects"),
        (["signs", "--profile", "smok"], "no profile 'smok' (did you mean 'smoke'?): choose one"),
        (["signs", "--coco", "coco"], "'signs' takes no --coco: it is for 'styles'"),
        (["signs", "--model", "pokcet"], "no model 'pokcet' (did you mean 'pocket'?): give 'poc"),
        (["signs", "--model", ""], "no model '': give 'pocket', a folder or a hub id"),
        (
            ["signs", "--model", "stable-difusion-v1-5/stable-diffusion-v1-5"],
            "model 'stable-difusion-v1-5/stable-diffusion-v1-5' (did you mean 'stable-diffusion-v1",
        ),
        (["signs", "--concept", "cat", "--concept", "cat"], "concept 'cat' is named twice: name"),
        (["signs", "--out", ""], "out is '': give the name of a folder for the results"),
    ],
)
def test_the_command_ends_with_2_and_one_line(argv, said, tmp_path, capsys):
    assert main(["reproduce", "--out", str(tmp_path / "r"), *argv]) == 2
    out = capsys.readouterr()
    assert out.err.startswith(f"conceptrevive reproduce: {said}") and out.err.count("\n") == 1
    assert out.out == ""
    assert not list(tmp_path.rglob("*.json"))
