"""Small nets as people really write them, each with something that compression tools tend to forget."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from toolchain.data.npz import ArraySamples


def body(first=None, second=None, norm=None):
    """Return a plain classifier of pictures (N, 3, 8, 8) with its parts changed."""
    return nn.Sequential(
        first or nn.Conv2d(3, 16, 3, padding=1),
        norm or nn.BatchNorm2d(16),
        nn.ReLU(),
        second or nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
    )


def normalized(wrap):
    return body(wrap(nn.Conv2d(3, 16, 3, padding=1)), wrap(nn.Conv2d(16, 16, 3, padding=1)))


def of_old(wrap):
    def wrapped(layer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would have people use parametrizations
            return wrap(layer)

    return normalized(wrapped)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def with_own_parametrization():
    net = body()
    parametrize.register_parametrization(net[3], "weight", Doubled())
    return net


def frozen_and_normalized():
    net = normalized(parametrizations.weight_norm)
    net[0].requires_grad_(requires_grad=False)
    return net


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 3), nn.Linear(5, 16), nn.Linear(16, 2)

    def forward(self, picture, state):
        return self.c(torch.relu(self.a(picture).mean((2, 3)) + self.b(state)))


class Outputs(nn.Module):
    """A dict, a tuple, or a list in a dict, with an auxiliary head."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.a, self.b, self.c = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 2, 1)
        self.norm, self.aux = nn.BatchNorm2d(16), nn.Linear(16, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.a(x)))
        main, aux = self.c(torch.relu(self.b(x))).mean((2, 3)), self.aux(x.mean((2, 3)))
        return {"dict": {"main": main, "aux": aux}, "tuple": (main, aux), "nested": {"all": [main, (aux,)]}}[self.kind]


class FrozenStem(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)
        self.dw, self.pw, self.fc = nn.Conv2d(16, 16, 3, groups=16), nn.Conv2d(16, 32, 1), nn.Linear(32, 2)
        self.stem.requires_grad_(requires_grad=False)
        self.norm.requires_grad_(requires_grad=False)

    def forward(self, x):
        return self.fc(torch.relu(self.pw(torch.relu(self.dw(torch.relu(self.norm(self.stem(x))))))).mean((2, 3)))


class Shared(nn.Module):
    """One module that runs twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.again, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.again(torch.relu(self.again(torch.relu(self.stem(x))))).mean((2, 3)))


class Tied(nn.Module):
    """Two modules with one weight."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.one, self.two, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.head(torch.relu(self.two(torch.relu(self.one(self.stem(x).mean((2, 3)))))))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(24, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.lstm(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.attention = nn.Conv2d(3, 16, 4, 4), nn.MultiheadAttention(16, 2, batch_first=True)
        self.place, self.head = nn.Parameter(torch.randn(1, 4, 16)), nn.Linear(16, 2)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        return self.head(self.attention(x, x, x)[0].mean(1))


class Lines(nn.Module):
    """Convolutions over sequences, one of them transposed."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.up = nn.Conv1d(3, 16, 9), nn.Conv1d(16, 16, 9), nn.ConvTranspose1d(16, 8, 4, stride=2)
        self.norm, self.head = nn.BatchNorm1d(16), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.up(torch.relu(self.b(torch.relu(self.norm(self.a(x.flatten(2))))))).mean(2))


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up, self.head = nn.Conv2d(3, 16, 3), nn.ConvTranspose2d(16, 16, 2, stride=2), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(torch.relu(self.up(torch.relu(self.down(x)))).mean((2, 3)))


class Keyword(nn.Module):
    """A residual block that is called with a keyword, and an output that is a number."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Conv2d(3, 16, 3), Scaled(), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.inner(self.stem(x), by=2.0).mean((2, 3)))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x, *, by):
        return x + by * self.conv(x)


class Branching(nn.Module):
    """A forward that torch.fx cannot follow."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Linear(16, 2)

    def forward(self, x):
        y = self.norm(self.a(x)).mean((2, 3))
        return self.b(y if y.sum() > 0 else -y)


class Residual(nn.Module):
    """Two blocks, one of them without a normalization."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.block, self.head = Scaling(), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.block(torch.relu(self.norm(self.stem(x)))).mean((2, 3)))


class Scaling(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


def hard_swish_net():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Hardswish(), nn.Conv2d(16, 16, 1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip


def pruned_by_torch():
    net = body()
    prune.l1_unstructured(net[3], "weight", amount=0.3)
    return net


ODD_NETS = {
    "plain": body,
    "weight_norm": lambda: normalized(parametrizations.weight_norm),
    "spectral_norm": lambda: normalized(parametrizations.spectral_norm),
    "orthogonal": lambda: body(second=parametrizations.orthogonal(nn.Conv2d(16, 16, 3, padding=1))),
    "old_weight_norm": lambda: of_old(nn.utils.weight_norm),
    "old_spectral_norm": lambda: of_old(nn.utils.spectral_norm),
    "pruned_by_torch": pruned_by_torch,
    "own_parametrization": with_own_parametrization,
    "frozen_and_normalized": frozen_and_normalized,
    "conv1d": Lines,
    "transposed": Transposed,
    "two_inputs": TwoInputs,
    "dict_output": lambda: Outputs("dict"),
    "tuple_output": lambda: Outputs("tuple"),
    "nested_output": lambda: Outputs("nested"),
    "frozen_stem": FrozenStem,
    "all_frozen": lambda: body().requires_grad_(requires_grad=False),
    "shared_module": Shared,
    "tied_weight": Tied,
    "lstm": Recurrent,
    "attention": Attention,
    "group_norm": lambda: body(norm=nn.GroupNorm(4, 16)),
    "no_norm": lambda: body(norm=nn.Identity()),
    "keyword_block": Keyword,
    "branching": Branching,
    "residual": Residual,
    "hard_swish": hard_swish_net,
}
"""Each builds a net with two classes."""


def build_odd_net(name):
    """Return the net in evaluation mode, the same at every call, with batch norms that change numbers."""
    torch.manual_seed(0)
    net = ODD_NETS[name]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 4)
    return net.eval()


def make_odd_samples(name, count=32):
    """Return labelled samples that the net takes: pictures, and a state beside them where it has two inputs."""
    generator = np.random.default_rng(0)
    first = "picture" if name == "two_inputs" else "input"
    arrays = {first: generator.normal(size=(count, 3, 8, 8)).astype(np.float32)}
    if name == "two_inputs":
        arrays["state"] = generator.normal(size=(count, 5)).astype(np.float32)
    return ArraySamples(arrays=arrays, targets={"labels": np.arange(count) % 2}, sha256=f"made for {name}")


class LeftOnDropout(nn.Module):
    """Random in evaluation too."""

    def __init__(self):
        super().__init__()
        self.conv, self.noisy = nn.Conv2d(3, 16, 3), Noisy()
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.noisy(self.conv(x)).mean((2, 3)))


class Noisy(nn.Module):
    def forward(self, x):
        return F.dropout(x)
