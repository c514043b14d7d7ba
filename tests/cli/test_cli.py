"""The command line end to end on a tiny pipeline, and every error path: 2, one line, no output."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.checkpoints import layers, selection
from conceptrevive.checkpoints.tensors import read_tensor
from conceptrevive.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def concept_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\n"
        "target_prompts: [a cat in a room, a cat in a park]\nbase_prompts: [a room, a park]\n"
        "settings: {skill_ratio: 0.1, tau: 2, steps: 3, guidance: 2.0}\n"
    )
    return path


@pytest.fixture
def mask_file(tiny_folder, concept_file, tmp_path, capsys):
    path = tmp_path / "masks.safetensors"
    assert (
        main(
            [
                "locate",
                str(tiny_folder),
                "--concept",
                str(concept_file),
                "--out",
                str(path),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    capsys.readouterr()
    return path


def weights_of(folder):
    return selection.read_candidates(folder)


def fails(capsys, *argv):
    """Run a command that must fail; return its one line."""
    code = main([str(a) for a in argv])
    out = capsys.readouterr()
    assert code == 2
    assert out.out == ""
    assert out.err.count("\n") == 1, out.err
    return out.err


def test_locate_prune_revive_obfuscate(tiny_folder, mask_file, tmp_path, capsys):
    before = weights_of(tiny_folder)
    masks = cr.MaskSet.load(mask_file)
    assert masks.concept == "own" and masks.tau == 2 and masks.skill_ratio == 0.1

    pruned = tmp_path / "pruned"
    assert (
        main(["prune", str(tiny_folder), "--masks", str(mask_file), "--out", str(pruned), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["pruned"] == masks.count
    for name, w in weights_of(pruned).items():
        assert torch.equal(w, before[name].masked_fill(masks[name], 0))

    revived = tmp_path / "revived"
    assert main(["revive", str(pruned), "--out", str(revived)]) == 0
    expected = cr.revive(weights_of(pruned))
    for name, w in weights_of(revived).items():
        assert torch.equal(w, expected[name])

    hidden = tmp_path / "hidden"
    assert (
        main(
            [
                "obfuscate",
                str(tiny_folder),
                "--masks",
                str(mask_file),
                "--sigma",
                "0.5",
                "--out",
                str(hidden),
            ]
        )
        == 0
    )
    for name, w in weights_of(hidden).items():
        assert torch.equal(w[~masks[name]], before[name][~masks[name]])
        assert (w[masks[name]] != 0).all()
    # After obfuscation the attacker guesses, or is told.
    assert main(["revive", str(hidden), "--guess", "0.1", "--out", str(tmp_path / "a")]) == 0
    assert (
        main(["revive", str(hidden), "--masks", str(mask_file), "--out", str(tmp_path / "b")]) == 0
    )
    for name, w in weights_of(tmp_path / "b").items():
        assert torch.equal(w, expected[name])


def test_a_hidden_scar_is_not_told_in_the_header(tiny_folder, mask_file, tmp_path, capsys):
    pruned, hidden = tmp_path / "pruned", tmp_path / "hidden"
    main(["prune", str(tiny_folder), "--masks", str(mask_file), "--out", str(pruned)])
    capsys.readouterr()
    assert (
        main(["obfuscate", str(pruned), "--masks", str(mask_file), "--out", str(hidden), "--json"])
        == 0
    )
    assert "seed" not in json.loads(capsys.readouterr().out)
    for file in hidden.rglob("*.safetensors"):
        with safe_open(file, "pt") as f:
            assert "conceptrevive" not in (f.metadata() or {})
    again = tmp_path / "again"
    assert (
        main(
            [
                "obfuscate",
                str(pruned),
                "--masks",
                str(mask_file),
                "--out",
                str(again),
                "--seed",
                "1",
            ]
        )
        == 0
    )
    assert "leave --seed out" in capsys.readouterr().err


def test_other_tensors_and_metadata_are_kept(tiny_folder, mask_file, tmp_path):
    out = tmp_path / "pruned"
    main(["prune", str(tiny_folder), "--masks", str(mask_file), "--out", str(out)])
    name = "unet/diffusion_pytorch_model.safetensors"
    before, after = load_file(tiny_folder / name), load_file(out / name)
    assert before.keys() == after.keys()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {f"{n}.weight" for n, m in cr.MaskSet.load(mask_file).items() if m.any()}
    with safe_open(out / name, "pt") as f:
        assert json.loads(f.metadata()["conceptrevive"])["operation"] == "prune"
        assert f.metadata()["format"] == "pt"
    files = {p.relative_to(tiny_folder) for p in tiny_folder.rglob("*") if p.is_file()}
    assert files == {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    assert cr.load_pipeline(out, device="cpu").unet is not None


def test_only_what_is_changed_is_read(tiny_folder, mask_file, tmp_path, monkeypatch):
    read = []

    def watched(header, key):
        read.append(key)
        return read_tensor(header, key)

    monkeypatch.setattr(layers, "read_tensor", watched)
    main(["prune", str(tiny_folder), "--masks", str(mask_file), "--out", str(tmp_path / "pruned")])
    assert sorted(read) == sorted(f"{name}.weight" for name in cr.MaskSet.load(mask_file))


def test_a_component_folder_alone(tiny_folder, mask_file, tmp_path):
    assert (
        main(
            [
                "prune",
                str(tiny_folder / "unet"),
                "--masks",
                str(mask_file),
                "--out",
                str(tmp_path / "u"),
            ]
        )
        == 0
    )
    assert any((w == 0).any() for w in weights_of(tmp_path / "u").values())


def test_locate_reproduces_bit_for_bit(tiny_folder, concept_file, mask_file, tmp_path):
    again = tmp_path / "again.safetensors"
    main(
        [
            "locate",
            str(tiny_folder),
            "--concept",
            str(concept_file),
            "--out",
            str(again),
            "--device",
            "cpu",
        ]
    )
    assert again.read_bytes() == mask_file.read_bytes()


def test_errors_about_the_model(tiny_folder, concept_file, mask_file, tmp_path, capsys):
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no folder './nowhere' here" in fails(
        capsys, "prune", "./nowhere", "--masks", mask_file, "--out", out
    )
    assert "no .safetensors weights" in fails(
        capsys, "prune", empty, "--masks", mask_file, "--out", out
    )
    assert "let its name end with" in fails(
        capsys, "prune", mask_file, "--masks", mask_file, "--out", out
    )
    assert "is a file" in fails(
        capsys, "locate", mask_file, "--concept", concept_file, "--out", out
    )
    message = fails(
        capsys, "locate", tiny_folder, "--concept", concept_file, "--out", out, "--device", "warp"
    )
    assert "'warp' cannot be used here" in message
    assert not out.exists()


def test_errors_about_masks(tiny_folder, mask_file, tmp_path, capsys):
    out = tmp_path / "out"
    absent = tmp_path / "absent.safetensors"
    assert "cannot read masks" in fails(
        capsys, "prune", tiny_folder, "--masks", absent, "--out", out
    )
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(mask_file.read_bytes()[:200])
    assert "cannot read masks" in fails(capsys, "prune", tiny_folder, "--masks", cut, "--out", out)
    other = tiny_folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert "is no mask file" in fails(capsys, "prune", tiny_folder, "--masks", other, "--out", out)
    foreign = tmp_path / "foreign.safetensors"
    cr.MaskSet({"blocks.9.ff.net.2": torch.ones(2, 2, dtype=torch.bool)}).save(foreign)
    assert "blocks.9.ff.net.2" in fails(
        capsys, "obfuscate", tiny_folder, "--masks", foreign, "--out", out
    )
    name = next(iter(cr.MaskSet.load(mask_file)))
    cr.MaskSet({name: torch.ones(2, 2, dtype=torch.bool)}).save(foreign)
    assert "does not fit weight" in fails(
        capsys, "prune", tiny_folder, "--masks", foreign, "--partial", "--out", out
    )
    assert not out.exists()


def test_errors_about_settings(tiny_folder, mask_file, concept_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert "no exact zeros" in fails(capsys, "revive", tiny_folder, "--out", out)
    assert "exclude each other" in fails(
        capsys, "revive", tiny_folder, "--masks", mask_file, "--guess", "0.1", "--out", out
    )
    assert "top_k is 1.5" in fails(
        capsys, "revive", tiny_folder, "--masks", mask_file, "--top-k", "1.5", "--out", out
    )
    assert "fraction is 2.0" in fails(capsys, "revive", tiny_folder, "--guess", "2", "--out", out)
    assert "sigma is -1.0" in fails(
        capsys, "obfuscate", tiny_folder, "--masks", mask_file, "--sigma", "-1", "--out", out
    )
    assert "tau is 9" in fails(
        capsys,
        "locate",
        tiny_folder,
        "--concept",
        concept_file,
        "--tau",
        "9",
        "--out",
        out,
        "--device",
        "cpu",
    )
    assert "skill_ratio is 0.0" in fails(
        capsys,
        "locate",
        tiny_folder,
        "--concept",
        concept_file,
        "--skill-ratio",
        "0",
        "--out",
        out,
        "--device",
        "cpu",
    )
    for seed in ("-1", "x", str(1 << 63)):
        with pytest.raises(SystemExit):
            main(["audit", str(tiny_folder), "--seed", seed])
        assert "is no seed: give a whole number" in capsys.readouterr().err
    assert "images is 0" in fails(capsys, "demo", "--images", "0", "--out", out)
    assert "no pocket concept 'unicorn'" in fails(
        capsys, "evaluate", tiny_folder, "--concept", "unicorn"
    )
    assert "has no judge: give it `labels`" in fails(
        capsys, "evaluate", tiny_folder, "--concept", concept_file, "--device", "cpu"
    )
    assert not out.exists()


def test_errors_about_the_output(tiny_folder, mask_file, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious").write_text("x")
    assert "exists already" in fails(
        capsys, "prune", tiny_folder, "--masks", mask_file, "--out", taken
    )
    assert [p.name for p in taken.iterdir()] == ["precious"]
    below_a_file = mask_file / "out"
    fails(capsys, "prune", tiny_folder, "--masks", mask_file, "--out", below_a_file)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_wrong_usage_is_one_line(capsys):
    with pytest.raises(SystemExit) as e:
        main(["prune", "pocket"])
    assert e.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_pickle_only_models_are_refused(tiny_folder, mask_file, tmp_path, capsys):
    import shutil

    copy = tmp_path / "pickled"
    shutil.copytree(tiny_folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert "pickle files" in fails(
        capsys, "prune", copy, "--masks", mask_file, "--out", tmp_path / "out"
    )


def test_the_table_of_concepts_follows_the_model(tiny_folder, tmp_path, capsys):
    out = str(tmp_path / "m.safetensors")
    said = fails(capsys, "locate", str(tiny_folder), "--concept", "golf ball", "--out", out)
    assert (
        "'golf ball' is in the table 'paper'" in said
        and "--preset paper" in said
        and not (tmp_path / "m.safetensors").exists()
    )
    assert "no pocket concept 'nonsense'" in fails(
        capsys, "locate", "pocket", "--concept", "nonsense", "--out", out
    )


def test_outputs_that_cannot_be_written_are_named_before_the_work(tiny_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "is a file" in fails(capsys, "demo", "--out", str(tmp_path / "file"))
    assert "is a folder" in fails(
        capsys, "locate", "pocket", "--concept", "golf", "--out", str(tmp_path)
    )
    assert "retained is -1" in fails(
        capsys, "evaluate", str(tiny_folder), "--concept", "golf", "--retained", "-1"
    )


def test_an_unknown_concept_gets_the_nearest_of_either_table(capsys):
    out = ("--out", "m.safetensors")
    assert "(did you mean 'parachute'?)" in fails(
        capsys, "locate", "pocket", "--concept", "parachut", *out
    )
    assert "no paper concept 'Van Gog' (did you mean 'Van Gogh'?)" in fails(
        capsys, "locate", "pocket", "--concept", "Van Gog", *out
    )
