import pytest
from torch import nn

from toolchain.errors import ToolchainError


class Recurrent(nn.Module):
    """Columns of a convolution, read by a GRU, as a reader of text lines does."""

    def __init__(self):
        super().__init__()
        self.conv, self.sequence, self.head = nn.Conv2d(3, 16, (8, 1)), nn.GRU(16, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.sequence(self.conv(x).squeeze(2).transpose(1, 2))[0][:, -1])


def test_a_recurrent_layer_that_cannot_be_followed_is_named(compress):
    with pytest.raises(ToolchainError, match="cannot follow") as caught:
        compress(Recurrent().eval(), method="structured_pruning", amount=0.5)
    assert caught.value.found == "sequence, a recurrent layer"
    draft = compress(Recurrent().eval(), method="magnitude_pruning", amount=0.5)  # what the fix names
    assert (draft.model.conv.weight == 0).any()
