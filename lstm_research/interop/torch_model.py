"""A network with encoding and read-out as a PyTorch module; needs PyTorch to be imported."""

# Where PyTorch is absent, pyright takes the file torch.py beside this one for it:
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import Any

import numpy as np
import torch
from torch import nn

from lstm_research.network import Network


def tensor(leaf: Any) -> Any:
    """Return a variable as PyTorch has it, in double precision or single."""
    array = np.asarray(leaf[...])
    return torch.tensor(array.astype(np.float64 if array.dtype == np.float64 else np.float32))


class Model(nn.Module):
    """What `Network` computes, without dropout after the last layer.

    `model(x, lengths=None)`: x `batch time features`, or tokens `batch time`; outputs
    `batch time outputs`, or `batch outputs` where the network reads out the last valid step.
    """

    def __init__(self, rnn: Any, network: Network) -> None:
        super().__init__()
        self.vocabulary, self.readout = network.vocabulary, network.readout
        self.rnn, self.embed, self.out = rnn, None, None
        if network.embed is not None:
            table = tensor(network.embed.embedding)
            self.embed = nn.Embedding.from_pretrained(table, freeze=False)
        if network.out is not None:
            self.out = nn.Linear(network.out.in_features, network.out.out_features)
            kernel, bias = network.out.kernel, network.out.bias
            assert bias is not None
            self.out.weight.data = tensor(kernel).T.contiguous()
            self.out.bias.data = tensor(bias)

    def forward(self, x: Any, lengths: Any = None) -> Any:
        """Return the outputs; padding past `lengths` changes nothing."""
        total = x.shape[1]
        if self.embed is not None:
            x = self.embed(x)
        elif self.vocabulary is not None:
            table = torch.eye(self.vocabulary, dtype=self.rnn.weight_ih_l0.dtype)
            x = table.to(x.device)[x]
        if lengths is not None:
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        h, last = self.rnn(x)
        if lengths is not None:
            h, _ = nn.utils.rnn.pad_packed_sequence(h, True, total_length=total)
        if self.readout == "last":
            last = last[0] if isinstance(last, tuple) else last
            ways = 2 if self.rnn.bidirectional else 1
            h = torch.cat(list(last[-ways:]), -1)
        return h if self.out is None else self.out(h)
