"""Clean weights to calibrate the audit on: what the package ships, small models trained here,
initialisations.

Each origin is a function seed → {tensor name: matrix or convolution}. Trained ones take seconds on
one core; they differ in task, architecture, optimiser and decay, so that what holds for all of them
is not one recipe's habit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from calibration import round_trips
from calibration.round_trips import RoundTrip
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.checkpoints.tensors import read_tensor
from conceptrevive.files import ASSETS

Weights = dict[str, torch.Tensor]
STEPS = 250
UNET = "pocket/unet/diffusion_pytorch_model.safetensors"


def text(length: int = 400_000) -> torch.Tensor:
    """Python's own help texts as bytes, (length,)."""
    from pydoc_data.topics import topics

    return torch.tensor(list("\n".join(topics[k] for k in sorted(topics)).encode()[:length]))


def fit(
    model: nn.Module,
    batch: Callable[[torch.Generator], torch.Tensor],
    seed: int,
    steps: int,
    *,
    rate: float = 2e-3,
    optimiser: type = torch.optim.AdamW,
    **options,
) -> Weights:
    """Train `model` to lower what `batch` returns; its matrices and convolutions."""
    g = torch.Generator().manual_seed(seed)
    opt = optimiser(model.parameters(), lr=rate, **options)
    for _ in range(steps):
        opt.zero_grad()
        batch(g).backward()
        opt.step()
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.ndim > 1}


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, d: int):
        super().__init__()
        self.one, self.two = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out, self.up, self.down = (
            nn.Linear(d, 3 * d),
            nn.Linear(d, d),
            nn.Linear(d, 4 * d),
            nn.Linear(4 * d, d),
        )

    def forward(self, x: torch.Tensor, causal: bool) -> torch.Tensor:
        q, k, v = self.qkv(self.one(x)).view(*x.shape[:2], 3, 4, -1).permute(2, 0, 3, 1, 4)
        x = x + self.out(
            F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)
        )
        return x + self.down(F.gelu(self.up(self.two(x))))


def language_model(seed: int, steps: int, dtype: torch.dtype = torch.float32) -> Weights:
    """A transformer that predicts the next byte of Python's help texts; width 96."""
    corpus, d, n = text(), 96, 48
    parts = nn.ModuleDict(
        {
            "embed": nn.Embedding(256, d),
            "place": nn.Embedding(n, d),
            "a": Block(d),
            "b": Block(d),
            "head": nn.Linear(d, 256),
        }
    )

    def batch(g):
        at = torch.randint(0, len(corpus) - n - 1, (16,), generator=g)
        x = torch.stack([corpus[i : i + n + 1] for i in at])
        h = parts["embed"](x[:, :-1]) + parts["place"].weight
        return F.cross_entropy(
            parts["head"](parts["b"](parts["a"](h, True), True)).flatten(0, 1).float(),
            x[:, 1:].flatten(),
        )

    return fit(parts.to(dtype), batch, seed, steps)


def half_precision_training(seed: int, steps: int) -> Weights:
    """The same with weights, gradients and optimiser in bfloat16: sums of coarse numbers cancel
    exactly now and then.
    """
    return language_model(seed, steps, torch.bfloat16)


def merged_adapters(seed: int, steps: int) -> Weights:
    """The same with low-rank updates added in float16, as adapters are merged."""
    g, out = torch.Generator().manual_seed(seed), {}
    for name, w in language_model(seed, steps).items():
        update = torch.randn(len(w), 4, generator=g) @ torch.randn(4, w.shape[1], generator=g)
        out[name] = w.half() + (0.1 * w.std() / update.std() * update).half()
    return out


def set_transformer(seed: int, steps: int) -> Weights:
    """A transformer that sorts sixteen numbers; width 64, no decay."""
    parts = nn.ModuleDict(
        {
            "in": nn.Linear(17, 64),
            "a": Block(64),
            "b": Block(64),
            "c": Block(64),
            "head": nn.Linear(64, 16),
        }
    )

    def batch(g):
        x = torch.rand(32, 16, generator=g)
        h = parts["in"](torch.cat([x[..., None], torch.eye(16).expand(32, -1, -1)], -1))
        for name in "abc":
            h = parts[name](h, False)
        return F.mse_loss(parts["head"](h).mean(1), x.sort(1).values)

    return fit(parts, batch, seed, steps, rate=1e-3, optimiser=torch.optim.Adam)


def shapes(g: torch.Generator, n: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Discs, squares and rings on noise: (n, 1, 24, 24) and their class."""
    c, kind = torch.rand(n, 2, 1, 1, generator=g) * 12 + 6, torch.randint(0, 3, (n,), generator=g)
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    dx, dy = (x - c[:, 0]).abs(), (y - c[:, 1]).abs()
    round_ = (dx**2 + dy**2).sqrt()
    choice = torch.stack([round_ < 5, (dx < 5) & (dy < 5), (round_ < 5) & (round_ > 3)]).float()
    return (choice[kind, torch.arange(n)] + 0.3 * torch.randn(n, 24, 24, generator=g))[
        :, None
    ], kind


def image_classifier(seed: int, steps: int) -> Weights:
    """A convolutional classifier of painted shapes; SGD with momentum."""
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 48, 3, 2, 1),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Conv2d(48, 64, 3, 2, 1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 48),
        nn.ReLU(),
        nn.Linear(48, 3),
    )

    def batch(g):
        x, y = shapes(g)
        return F.cross_entropy(net(x), y)

    return fit(
        net,
        batch,
        seed,
        steps,
        rate=0.05,
        optimiser=torch.optim.SGD,
        momentum=0.9,
        weight_decay=5e-4,
    )


def image_autoencoder(seed: int, steps: int) -> Weights:
    """A convolutional autoencoder of painted shapes, with transposed convolutions."""
    net = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1),
        nn.SiLU(),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.SiLU(),
        nn.Conv2d(64, 8, 3, padding=1),
        nn.Conv2d(8, 64, 3, padding=1),
        nn.SiLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.SiLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1),
    )

    def batch(g):
        x = shapes(g, 16)[0]
        return F.mse_loss(net(x), x)

    return fit(net, batch, seed, steps)


def _perceptron(seed: int, steps: int, **options) -> Weights:
    teacher = torch.randn(24, 6, generator=torch.Generator().manual_seed(seed + 1))
    net = nn.Sequential(
        nn.Linear(24, 192),
        nn.ReLU(),
        nn.Linear(192, 192),
        nn.ReLU(),
        nn.Linear(192, 96),
        nn.Tanh(),
        nn.Linear(96, 6),
    )

    def batch(g):
        x = torch.randn(64, 24, generator=g)
        return F.mse_loss(net(x), torch.tanh(x @ teacher))

    return fit(net, batch, seed, steps, **options)


def perceptron(seed: int, steps: int) -> Weights:
    """Three ReLU layers that fit a teacher."""
    return _perceptron(seed, steps)


def decayed_perceptron(seed: int, steps: int) -> Weights:
    """The same under heavy decay: many weights next to 0, underflow in half precision."""
    return _perceptron(seed, steps, rate=5e-3, weight_decay=8.0)


def recurrent(seed: int, steps: int) -> Weights:
    """A GRU that predicts the next byte."""
    corpus = text()
    parts = nn.ModuleDict(
        {
            "embed": nn.Embedding(256, 48),
            "gru": nn.GRU(48, 96, 2, batch_first=True),
            "head": nn.Linear(96, 256),
        }
    )

    def batch(g):
        at = torch.randint(0, len(corpus) - 33, (16,), generator=g)
        x = torch.stack([corpus[i : i + 33] for i in at])
        return F.cross_entropy(
            parts["head"](parts["gru"](parts["embed"](x[:, :-1]))[0]).flatten(0, 1),
            x[:, 1:].flatten(),
        )

    return fit(parts, batch, seed, steps, rate=4e-3)


def word_vectors(seed: int, steps: int) -> Weights:
    """Skip-gram vectors of byte pairs: two embedding tables, many rows hardly or never seen."""
    pairs = text()
    pairs = (pairs[:-1] * 17 + pairs[1:]) % 2000
    parts = nn.ModuleDict({"in": nn.Embedding(2000, 64), "out": nn.Embedding(2000, 64)})

    def batch(g):
        at = torch.randint(0, len(pairs) - 4, (512,), generator=g)
        near, far = pairs[at + 2], torch.randint(0, 2000, (512,), generator=g)
        x = parts["in"](pairs[at])
        return (
            F.softplus(-(x * parts["out"](near)).sum(1)).mean()
            + F.softplus((x * parts["out"](far)).sum(1)).mean()
        )

    return fit(parts, batch, seed, steps, rate=0.02, optimiser=torch.optim.Adagrad)


def initialisations(seed: int, steps: int) -> Weights:
    """What libraries start from, untrained."""
    g = torch.Generator().manual_seed(seed)
    out = {}
    for rows, columns in ((64, 256), (256, 64), (128, 512), (192, 192)):
        for name in (
            "kaiming_uniform_",
            "kaiming_normal_",
            "xavier_uniform_",
            "xavier_normal_",
            "orthogonal_",
            "trunc_normal_",
        ):
            options = {"std": 0.02, "a": -0.04, "b": 0.04} if name == "trunc_normal_" else {}
            out[f"{name}{rows}x{columns}"] = getattr(nn.init, name)(
                torch.empty(rows, columns), generator=g, **options
            )
    return out


def _quantised(ways: dict[str, RoundTrip], seed: int, steps: int) -> Weights:
    """Trained weights, each rounded to few levels and back in the next of `ways`: a language
    model's, or the shipped UNet's.
    """
    clean = _shipped(ASSETS / UNET)(seed, steps) if seed % 2 else language_model(seed, steps)
    trips = list(ways.values())
    return {n: trips[(i + seed) % len(trips)](w.float()) for i, (n, w) in enumerate(clean.items())}


def quantised_as_floats(seed: int, steps: int) -> Weights:
    """Through four- and eight-bit floats and tables, with every kind of scale."""
    return _quantised(round_trips.FLOATS, seed, steps)


def quantised_as_integers(seed: int, steps: int) -> Weights:
    """Through whole numbers with scales and zero points, per tensor, row, column and block."""
    return _quantised(round_trips.INTEGERS, seed, steps)


def quantised_by_super_blocks(seed: int, steps: int) -> Weights:
    """Through GGUF's formats, from two bits to eight."""
    return _quantised(round_trips.GGUF, seed, steps)


def quantised_copies_averaged(seed: int, steps: int) -> Weights:
    """Means of two quantised copies."""
    return _quantised(round_trips.AVERAGES, seed, steps)


def _shipped(path: Path) -> Callable[[int, int], Weights]:
    def read(seed: int, steps: int) -> Weights:
        header = read_header(path)
        return {
            n: read_tensor(header, n)
            for n, e in header.entries.items()
            if e.is_float and len(e.shape) > 1
        }

    return read


TRAINED = (
    decayed_perceptron,
    half_precision_training,
    image_autoencoder,
    image_classifier,
    initialisations,
    language_model,
    merged_adapters,
    perceptron,
    quantised_as_floats,
    quantised_as_integers,
    quantised_by_super_blocks,
    quantised_copies_averaged,
    recurrent,
    set_transformer,
    word_vectors,
)


def origins() -> dict[str, tuple[Callable[[int, int], Weights], bool]]:
    """{name: (function of seed and steps, whether the seed matters)}, in alphabetical order."""
    found = {
        str(p.parent.relative_to(ASSETS)).replace("/", " "): (_shipped(p), False)
        for p in sorted(ASSETS.rglob("*.safetensors"))
    }
    return dict(
        sorted((found | {f.__name__.replace("_", " "): (f, True) for f in TRAINED}).items())
    )
