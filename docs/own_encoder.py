"""An encoder of one's own, complete: `encoder = "docs/own_encoder.py:make"` in a study file."""

import torch
from torch import nn

from ablate.model.drop_path import DropPath


class Own(nn.Module):
    n_features, fs_hz, n_leads, n_samples = 32, 100, 12, None  # None: records of any length

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(12, 32, 15, stride=4)
        self.block = nn.Conv1d(32, 32, 5, padding=2)
        self.drop_path = DropPath()

    def forward(self, x):  # (batch, lead, sample) -> (batch, feature)
        x = torch.relu(self.first(x))
        return self.drop_path(x, x, lambda branch: torch.relu(self.block(branch))).mean(2)

    def stages(self):  # trainable parameters from input to output, each exactly once
        return [list(self.first.parameters()), list(self.block.parameters())]

    def drop_path_layers(self):  # residual blocks that can be dropped; [] where there are none
        return [self.drop_path]


make = Own
