import pytest
import torch
from torch import nn

from tests.compress.networks import assert_reloads
from toolchain.compress import Draft
from toolchain.compress.layers import WEIGHTED, LayerOptions
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.compress.pruning.dependencies import build_graph
from toolchain.errors import ToolchainError


class Recurrent(nn.Module):
    """Columns of a convolution, read by a recurrent layer, as a reader of text lines does; or its last state alone."""

    def __init__(self, kind=nn.GRU, *, last=False, **options):
        super().__init__()
        self.first, self.conv = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, (8, 1))
        self.sequence, self.last = kind(16, 8, batch_first=True, **options), last
        self.middle, self.head = nn.Linear(16 if options.get("bidirectional") else 8, 16), nn.Linear(16, 2)

    def forward(self, x):
        columns = self.conv(self.first(x)).squeeze(2).transpose(1, 2)
        output, state = self.sequence(columns)
        state = state[0] if isinstance(state, tuple) else state
        return self.head(self.middle(state[-1] if self.last else output[:, -1]))


KINDS = {
    "gru": Recurrent,
    "both ways": lambda: Recurrent(bidirectional=True),
    "lstm": lambda: Recurrent(nn.LSTM),
    "rnn": lambda: Recurrent(nn.RNN, num_layers=2),
    "last state": lambda: Recurrent(last=True),
    "last state of an lstm": lambda: Recurrent(nn.LSTM, last=True),
}


def seeded(name):
    torch.manual_seed(0)
    return KINDS[name]().eval()


@pytest.mark.parametrize("name", KINDS)
def test_channels_that_a_recurrent_layer_reads_or_writes_stay_and_the_others_go(compress, tmp_path, name):
    draft = compress(seeded(name), method="structured_pruning", amount=0.5)
    model = draft.model
    assert (model.first.out_channels, model.conv.in_channels, model.conv.out_channels) == (8, 8, 16)
    assert (model.sequence.input_size, model.sequence.hidden_size, model.middle.out_features) == (16, 8, 8)
    assert [own.shape for own in model.sequence.parameters()] == [
        own.shape for own in seeded(name).sequence.parameters()
    ]
    (note,) = draft.notes
    assert note.startswith("structured_pruning leaves the channels of some layers as they are")
    assert note.endswith(f": conv (sequence, a {type(model.sequence).__name__})")
    assert_reloads(draft, lambda: seeded(name), tmp_path)


def test_a_layer_in_front_of_a_recurrent_one_is_refused_where_it_is_named(compress):
    with pytest.raises(ToolchainError, match="conv, because sequence has them too"):
        compress(seeded("gru"), method="structured_pruning", amount=0.5, layers=["conv"])


def test_a_recurrent_layer_computes_as_before_once_the_graph_is_built():
    model, pictures = seeded("gru"), torch.rand(2, 3, 8, 8)
    before = model(pictures)
    find_channel_groups(Draft(model), (pictures,), LayerOptions(), method="test", kinds=WEIGHTED)
    assert "forward" not in vars(model.sequence)
    assert torch.equal(model(pictures), before)


def test_a_model_that_fails_where_it_records_is_refused():
    class Unrecorded(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 2, 1)

        def forward(self, x):
            return torch.from_numpy(self.last(self.first(x)).numpy()).mean((2, 3))

    with pytest.raises(ToolchainError, match="cannot follow which channels") as caught:
        build_graph(Unrecorded(), (torch.rand(1, 3, 8, 8),), method="test")
    assert "magnitude_pruning" in caught.value.fix
