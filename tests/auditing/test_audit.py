"""The audit on whole checkpoints: its verdicts, its exit codes, and that nothing but values moves
them.
"""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.auditing.difference import difference
from conceptrevive.auditing.report import clean as shown
from conceptrevive.auditing.scan import scan
from conceptrevive.auditing.selection import ENTRIES, choose
from conceptrevive.auditing.significance import decide
from conceptrevive.auditing.verdict import NOTHING, PRUNING, REVIVAL, UNTOLD, audit
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.cli import main
from conceptrevive.detectors.evidence import Evidence
from tests.detectors.test_detectors import clean, wanda

pytestmark = pytest.mark.usefixtures("one_thread")


def model(dtype=torch.float16, layers=4, seed=0):
    """Attention-like, feed-forward and convolution weights, norms, and an embedding with rows never
    used.
    """
    out = {}
    for i in range(layers):
        out[f"blocks.{i}.ff.net.2.weight"] = clean(seed + 10 * i, 48, 192, dtype)
        out[f"blocks.{i}.attn.to_q.weight"] = clean(seed + 10 * i + 1, 48, 48, dtype)
        out[f"blocks.{i}.conv.weight"] = clean(seed + 10 * i + 2, 32, 16 * 9, dtype).reshape(
            32, 16, 3, 3
        )
        out[f"blocks.{i}.norm.weight"] = torch.ones(48, dtype=dtype)
        out[f"blocks.{i}.norm.bias"] = torch.zeros(48, dtype=dtype)
    out["embed.weight"] = clean(seed + 99, 200, 48, dtype)
    out["embed.weight"][150:] = 0
    out["lora_B.weight"] = torch.zeros(48, 4, dtype=dtype)
    out["steps"] = torch.arange(10)
    return out


def candidates(w):
    return {n: x for n, x in w.items() if n.endswith("ff.net.2.weight")}


def edited(kind, dtype=torch.float16, seed=0):
    """A model pruned, revived or filled in its feed-forward layers."""
    w = model(dtype, seed=seed)
    old = candidates(w)
    masks = {n: wanda(x, 0.06, i) for i, (n, x) in enumerate(old.items())}
    pruned = cr.prune(old, masks)
    new = {
        "clean": lambda: old,
        "pruned": lambda: pruned,
        "revived": lambda: cr.revive(pruned, masks, top_k=1.0),
        "half revived": lambda: cr.revive(pruned, masks),
        "filled": lambda: cr.obfuscate(old, masks, sigma=0.02),
        "compressed": lambda: cr.prune(old, cr.guess_masks(old, 0.3)),
    }[kind]()
    return w | new


def saved(tmp_path, w, name="model.safetensors", **metadata):
    save_file({n: x.contiguous() for n, x in w.items()}, tmp_path / name, metadata=metadata or None)
    return tmp_path / name


VERDICTS = {
    "clean": (NOTHING,),
    "pruned": (PRUNING,),
    "revived": (REVIVAL,),
    "half revived": (PRUNING, REVIVAL),
    "filled": (PRUNING,),
    "compressed": (PRUNING,),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", VERDICTS)
def test_verdict_and_exit_code(tmp_path, kind, dtype, capsys):
    path = saved(tmp_path, edited(kind, dtype))
    assert main(["audit", str(path), "--json"]) == int(kind != "clean")
    report = json.loads(capsys.readouterr().out)
    # In bfloat16 sums that cancel explain as many zeros, outside the fullest columns, as half a
    # revival leaves there.
    unsure = kind == "half revived" and dtype == torch.bfloat16
    assert tuple(report["verdict"]) == ((REVIVAL,) if unsure else VERDICTS[kind])
    found = {
        n for f in report["findings"] if f["kind"] in ("pruning", "revival") for n in f["layers"]
    }
    assert found <= candidates(model()).keys()
    assert kind == "clean" or len(found) == 4 or kind == "filled"


def test_only_values_count(tmp_path):
    """Metadata away, names replaced, order shuffled: the same findings on the same values."""
    for kind in VERDICTS:
        w = edited(kind)
        first = audit(saved(tmp_path, w, author="somebody"))
        rng = np.random.default_rng(0)
        names = {n: f"{rng.integers(10**9):09d}" for n in rng.permutation(list(w))}
        second = audit(saved(tmp_path, {names[n]: w[n] for n in names}, "renamed.safetensors"))
        assert first.verdict == second.verdict
        for a, b in zip(first.findings, second.findings, strict=True):
            assert (a.kind, a.title, a.effect, a.log_p) == (b.kind, b.title, b.effect, b.log_p)
            assert {names[n] for n in a.layers} == set(b.layers)


def test_clean_checkpoints_are_not_flagged(tmp_path):
    """Of 24: a detector that flags one in ten at random passes with probability 0.08."""
    dtypes = [torch.float32, torch.float16, torch.bfloat16]
    flagged = [
        (audit(saved(tmp_path, model(dtypes[s % 3], 2, 100 * s)))).exit_code for s in range(24)
    ]
    assert flagged == [0] * 24


def test_no_answer_ever_says_safe(tmp_path, capsys):
    for kind in ("clean", "half revived"):
        path = saved(tmp_path, edited(kind))
        for more in ([], ["--json"], ["--html", str(tmp_path / "r.html")]):
            main(["audit", str(path), *more])
            assert not re.search(r"\bsafe\b", capsys.readouterr().out.replace(str(path), ""))
        assert not re.search(r"\bsafe\b", (tmp_path / "r.html").read_text())


def test_what_could_not_be_told_is_said(tmp_path):
    report = audit(saved(tmp_path, edited("clean")))
    assert report.verdict == (NOTHING,)
    assert any("noise fills" in u for u in report.unknown) and any(
        "sampled magnitudes" in u for u in report.unknown
    )
    assert "1 tensor of I64 (whole numbers), not read: steps" in report.unknown


def test_benign_zeros_are_notes(tmp_path):
    titles = {f.title: f.layers for f in (audit(saved(tmp_path, edited("clean")))).findings}
    assert "lora_B.weight" in titles["all zeros"] and titles["rows of zeros"] == ("embed.weight",)


def test_signs_are_tried_where_zeros_are(tmp_path):
    tried = [
        x.recoverability
        for x in audit(saved(tmp_path, edited("pruned", torch.float32))).measured.layers
        if x.recoverability
    ]
    assert len(tried) == 3 and all(r.signs.n > 100 and r.signs.interval[0] > 0.5 for r in tried)


def test_nan_is_named_and_no_clean_bill_is_given(tmp_path, capsys):
    w = model()
    w["blocks.1.conv.weight"][3, 2, 1, 0] = torch.nan
    assert main(["audit", str(saved(tmp_path, w))]) == 2
    assert "blocks.1.conv.weight" in capsys.readouterr().out
    w = edited("pruned") | {"blocks.1.conv.weight": w["blocks.1.conv.weight"]}
    assert main(["audit", str(saved(tmp_path, w))]) == 1


def test_grids_are_noted_and_said_to_hide(tmp_path):
    w = model(torch.float32)
    for n, x in candidates(w).items():
        step = x.abs().amax(1, keepdim=True) / 7
        w[n] = (x / step).round().clamp(-8, 7) * step
    report = audit(saved(tmp_path, w))
    assert report.verdict == (UNTOLD,) and report.exit_code == 2
    assert (
        set(next(f for f in report.findings if f.title == "quantisation grid").layers)
        == candidates(w).keys()
    )
    assert any("4 of 14 matrices lie on a quantisation grid" in u for u in report.unknown)


# --- base --------------------


@pytest.mark.parametrize(
    ("kind", "verdict"), [("pruned", (PRUNING,)), ("filled", (PRUNING,)), ("clean", (NOTHING,))]
)
def test_with_the_base_any_edit_shows(tmp_path, kind, verdict):
    base = saved(tmp_path, edited("clean"), "base.safetensors")
    assert audit(saved(tmp_path, edited(kind)), base=base).verdict == verdict


def test_with_the_base_large_noise_and_revival_show(tmp_path):
    w = model(torch.float32)
    old = candidates(w)
    masks = {n: wanda(x, 0.06) for n, x in old.items()}
    base = saved(tmp_path, w, "base.safetensors")
    noisy = saved(tmp_path, w | cr.obfuscate(old, masks, sigma=1.0))
    assert audit(noisy).verdict == (NOTHING,)
    report = audit(noisy, base=base)
    assert report.verdict == (PRUNING,) and report.findings[0].title == "replaced since the base"
    pruned = saved(tmp_path, w | cr.prune(old, masks), "pruned.safetensors")
    revived = saved(
        tmp_path, w | cr.revive(cr.prune(old, masks), masks, top_k=1.0), "revived.safetensors"
    )
    assert "raised since the base" in {f.title for f in (audit(revived, base=pruned)).findings}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_release_in_half_precision_is_compared_with_its_base(tmp_path, dtype):
    w = model(torch.float32)
    old = candidates(w)
    base = saved(tmp_path, w, "base.safetensors")
    half = lambda x: {n: y.to(dtype) if y.is_floating_point() else y for n, y in x.items()}  # noqa: E731
    assert audit(saved(tmp_path, half(w)), base=base).verdict == (NOTHING,)
    noisy = w | cr.obfuscate(old, {n: wanda(x, 0.06) for n, x in old.items()}, sigma=1.0)
    assert (
        audit(saved(tmp_path, half(noisy)), base=base).findings[0].title
        == "replaced since the base"
    )


def test_training_is_no_edit(tmp_path):
    w, g = model(torch.bfloat16), torch.Generator().manual_seed(1)
    tuned = {
        n: (x.float() * (1 + 2e-3 * torch.randn(x.shape, generator=g))).to(x.dtype)
        if x.is_floating_point()
        else x
        for n, x in w.items()
    }
    report = audit(saved(tmp_path, tuned), base=saved(tmp_path, w, "base.safetensors"))
    assert report.verdict == (NOTHING,)
    assert any(f.title == "other differences from the base" for f in report.findings)


def test_difference_by_hand():
    old = torch.arange(1.0, 401).reshape(20, 20)
    new = old.clone()
    new[range(12), range(12)] = 0
    d = difference("w", new, old)
    assert (d.changed, d.zeroed, d.scattered, d.kind) == (12, 12, True, "zeroed")
    new = old.clone()
    new[3] = 0
    assert difference("w", new, old).kind == "" and difference("w", old, old).changed == 0


# --- choice, sharding, decisions --------------------


def test_suspicious_matrices_come_first_and_deep_takes_all(tmp_path):
    scans = scan(read_header(saved(tmp_path, edited("pruned"))))
    chosen = choose(scans, False, 0)
    assert {scans[i].name for i, why in chosen.items() if why == "suspicious"} == candidates(
        model()
    ).keys()
    assert set(choose(scans, True, 0).values()) == {"deep"}
    big = [type(s)(**{**vars(s), "shape": (1 << 12, 1 << 12)}) for s in scans if s.is_matrix]
    assert sum(
        min(ENTRIES, s.numel) for i, s in enumerate(big) if i in choose(big, False, 0)
    ) <= 3 * (1 << 25)


def test_shards_and_pipelines_are_audited_whole(tmp_path):
    w = edited("pruned")
    folder = tmp_path / "pipe"
    for part in ("unet", "text_encoder"):
        (folder / part).mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    half = dict(list(w.items())[:9])
    rest = {n: x for n, x in w.items() if n not in half}
    saved(folder / "text_encoder", half, "m-1.safetensors")
    saved(folder / "text_encoder", rest, "m-2.safetensors")
    where = dict.fromkeys(half, "m-1.safetensors") | dict.fromkeys(rest, "m-2.safetensors")
    (folder / "text_encoder" / "m.safetensors.index.json").write_text(
        json.dumps({"weight_map": where})
    )
    saved(folder / "unet", model(), "diffusion_pytorch_model.safetensors")
    report = audit(folder)
    assert report.verdict == (PRUNING,)
    assert (
        all(n.startswith("text_encoder/blocks") for n in report.findings[0].layers)
        and len(report.findings[0].layers) == 4
    )


def test_a_pickled_component_cannot_be_passed_over(tmp_path, capsys):
    folder = tmp_path / "pipe"
    (folder / "unet").mkdir(parents=True)
    (folder / "vae").mkdir()
    (folder / "model_index.json").write_text("{}")
    saved(folder / "unet", model())
    torch.save({}, folder / "vae" / "pytorch_model.bin")
    assert main(["audit", str(folder)]) == 2
    assert "vae" in capsys.readouterr().err


def test_variants_and_single_files_are_audited_and_pickles_named(tmp_path):
    """What a folder would publish beside the weights in use."""
    folder = tmp_path / "pipe"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    saved(folder / "unet", model(), "diffusion_pytorch_model.safetensors")
    assert audit(folder).verdict == (NOTHING,)
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    assert any("1 pickle files, which are not opened" in u for u in (audit(folder)).unknown)
    variant = saved(folder / "unet", edited("pruned"), "diffusion_pytorch_model.fp16.safetensors")
    report = audit(folder)
    assert (
        report.findings[0]
        .layers[0]
        .startswith("unet/diffusion_pytorch_model.fp16.safetensors/blocks")
    )
    variant.rename(folder / "all-in-one.safetensors")
    assert (audit(folder)).findings[0].layers[0].startswith("all-in-one.safetensors/blocks")


@pytest.fixture
def copies(tmp_path):
    """A pipeline: the UNet's default pruned, its fp16 not; a text encoder without variants."""
    folder = tmp_path / "pipe"
    for part in ("unet", "text_encoder"):
        (folder / part).mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    saved(folder / "text_encoder", model(layers=1, seed=50), "model.safetensors")
    saved(folder / "unet", edited("pruned"), "diffusion_pytorch_model.safetensors")
    saved(folder / "unet", model(), "diffusion_pytorch_model.fp16.safetensors")
    return folder


def test_one_copy_is_audited_and_the_others_are_named(copies, capsys):
    """As it is loaded: of components without the variant the default."""
    assert main(["audit", str(copies), "--variant", "fp16"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{copies} (variant fp16): no evidence found")
    other = copies / "unet" / "diffusion_pytorch_model.safetensors"
    assert (
        "could not tell: 1 file of other copies of the weights than the variant fp16, not looked "
        f"at, {other} first" in out
    )
    report = audit(copies, variant="fp16")
    names = {s.name.split("/")[0] for s in report.measured.scans}
    assert names == {"unet", "text_encoder"} and report.measured.others == (str(other),)
    assert audit(copies, variant="").verdict == (PRUNING,), "the default's name is empty"
    whole = audit(copies)
    assert whole.verdict == (PRUNING,) and not whole.measured.others
    assert len(whole.measured.scans) > len(report.measured.scans)


def test_the_only_copy_goes_by_its_components_name(copies):
    (copies / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    for variant in (None, "fp16"):
        measured = audit(copies, variant=variant).measured
        assert not measured.others and "unet/embed.weight" in {s.name for s in measured.scans}
    folder = audit(copies / "unet", variant="fp16").measured
    assert "embed.weight" in {s.name for s in folder.scans}


def test_a_variant_that_is_nowhere_is_no_audit(copies, capsys):
    for path, where in (
        (copies, f"{copies} holds no variant 'bf16': it holds the default, fp16"),
        (copies / "unet", "unet holds no variant 'bf16': it holds the default, fp16"),
        (
            copies / "unet" / "diffusion_pytorch_model.safetensors",
            "is a file, which has no variants: leave --variant out",
        ),
    ):
        assert main(["audit", str(path), "--variant", "bf16"]) == 2
        assert where in capsys.readouterr().err
    with pytest.raises(cr.ConceptReviveError, match="variant is a int: give the name of a copy"):
        audit(copies, variant=16)


def test_of_the_base_the_same_copy_is_taken_where_it_has_it(copies, tmp_path):
    pruned = audit(copies, base=copies, variant="fp16")
    assert pruned.measured.differences and not any(d.changed for d in pruned.measured.differences)
    base = tmp_path / "base"
    shutil.copytree(copies, base)
    shutil.copy(
        base / "unet" / "diffusion_pytorch_model.fp16.safetensors",
        base / "unet" / "diffusion_pytorch_model.safetensors",
    )
    default = audit(copies, base=base, variant="")
    assert default.verdict == (PRUNING,) and not default.measured.unmatched
    (base / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    assert not any(d.changed for d in audit(copies, base=base, variant="fp16").measured.differences)


def test_other_copies_that_only_the_base_has_are_no_lack(copies, tmp_path):
    new = tmp_path / "new"
    shutil.copytree(copies, new)
    (new / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    assert not audit(new, base=copies).measured.unmatched
    lacking = audit(copies, base=new).measured.unmatched
    assert lacking and all("fp16" in name for name in lacking), "what is published without a base"


def test_linked_components_are_not_passed_over(tmp_path, capsys):
    folder = tmp_path / "pipe"
    (folder / "vae").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder / "model_index.json").write_text("{}")
    saved(folder / "vae", model())
    saved(tmp_path / "elsewhere", edited("pruned"))
    (folder / "unet").symlink_to(tmp_path / "elsewhere")
    assert main(["audit", str(folder)]) == 2
    assert "unet is a link to a folder" in capsys.readouterr().err


def test_tensors_without_entries_are_passed_over(tmp_path):
    w = {
        "a": torch.empty(0, 64),
        "b": torch.empty(64, 0),
        "c": torch.tensor(1.0),
        "d": torch.empty(0),
    }
    report = audit(saved(tmp_path, w))
    assert report.verdict == (UNTOLD,) and report.exit_code == 2
    assert report.unknown == (
        "nothing could be tested: there is no matrix of floating-point weights of at least 4 × 4",
    )
    assert (audit(saved(tmp_path, w | edited("pruned")))).exit_code == 1


def test_significance_and_size_are_both_needed():
    limits = {"alpha": 0.01, "effects": {"zeros": 0.0, "repeats": 0.0, "noise": 0.1}}
    strong, small = Evidence("noise", -9, 0.2), Evidence("noise", -9, 0.05)
    weak = Evidence("zeros", -3, 0.5)
    assert decide([[strong], [small], [weak]], 3, limits) == [("noise",), (), ("zeros",)]
    assert decide([[strong], [small], [weak]], 500, limits) == [("noise",), (), ()]


# --- scan --------------------


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_scan_counts_what_is_there(tmp_path, dtype, threads, monkeypatch):
    monkeypatch.setattr("conceptrevive.auditing.scan.BUFFER", 1000)  # several buffers a tensor
    g = torch.Generator().manual_seed(0)
    w = torch.randn(40, 30, generator=g)
    w[3], w[:, 4], w[7, 7] = 0, -0.0, torch.nan
    w[9, :6] = torch.tensor([9.0, -9, 9, -9, 9, -9])
    if dtype != torch.float8_e4m3fn:
        w[8, 8] = -torch.inf
    w = w.to(dtype)
    save_file(
        {"a": w, "b": w.reshape(-1).clone(), "c": torch.arange(3)}, tmp_path / "m.safetensors"
    )
    a, b = scan(read_header(tmp_path / "m.safetensors"), threads)
    x = w.double()
    alive = torch.isfinite(x).all(1) & (x != 0).any(1)
    top = x[alive].abs() == x[alive].abs().amax(1, keepdim=True)
    assert a.zeros == b.zeros == int((x == 0).sum())
    assert (
        a.dead_rows == 1 and a.nonfinite == int((~torch.isfinite(x)).any(1).sum()) and b.nonfinite
    )
    assert a.is_matrix and not b.is_matrix
    monkeypatch.undo()
    whole = scan(read_header(tmp_path / "m.safetensors"))[0]
    assert (
        whole.ties == int(top.sum() - alive.sum()) / int(alive.sum())
        and whole.digest == scan(read_header(tmp_path / "m.safetensors"), threads)[0].digest
    )


# --- report --------------------


class Reader(HTMLParser):
    """Checks nesting, and collects what a reader without sight or network needs."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "rect", "line", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_stands_alone_and_can_be_read_aloud(tmp_path, capsys):
    path = saved(tmp_path, edited("half revived") | {"<script>alert(1)</script>.weight": clean(5)})
    assert main(["audit", str(path), "--html", str(tmp_path / "report.html"), "--deep"]) == 1
    text = (tmp_path / "report.html").read_text()
    page = Reader()
    page.feed(text)
    assert page.open == []
    assert (
        "script" not in page.tags
        and "link" not in page.tags
        and "http" not in text.replace("http-equiv", "")
    )
    assert (
        all(a.get("alt") for t, a in page.attributes if t == "img") and page.tags.count("img") > 3
    )
    assert all(a.get("aria-label") for t, a in page.attributes if t == "svg")
    assert {"lang": "en"} in [a for t, a in page.attributes if t == "html"] and page.tags.count(
        "h1"
    ) == 1
    assert "prefers-color-scheme:dark" in text and "@media print" in text
    assert "evidence of pruning and evidence of revival" in text
    assert len(text) < 2_000_000


def test_the_report_shows_which_columns_were_filled(tmp_path):
    path = saved(tmp_path, edited("filled"))
    assert main(["audit", str(path), "--html", str(tmp_path / "report.html")]) == 1
    assert (
        "columns by their small weights beyond the mean" in (tmp_path / "report.html").read_text()
    )


def test_names_are_shown_printable():
    assert shown("a\x1b[0m\n\ud800é") == "a\\x1b[0m\\n\\ud800é"


def test_audit_leaves_the_checkpoint_as_it_was(tmp_path):
    path = saved(tmp_path, edited("pruned"))
    before = path.read_bytes()
    audit(path, deep=True)
    assert path.read_bytes() == before and load_file(path).keys() == model().keys()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
