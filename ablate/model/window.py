"""Windows: encoders that take less than a record at once.

In training a window lies anywhere in its record. In evaluation features are means over windows that cover the record;
the head is linear, so its logits are means too. Source: Strodthoff et al. 2021 (arXiv 2004.13701), who take the mean
(or the largest) of the windows' probabilities instead of their logits.
"""

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ablate.model.drop_path import DropPath
from ablate.model.encoder_role import Encoder


class WindowMean(nn.Module):
    """An encoder of windows as one of whole records: the mean of its features over windows that cover them.

    Records that are no longer than a window go through as they are, as those of training do.
    """

    def __init__(self, encoder: Encoder, n_window: int) -> None:
        super().__init__()
        self.encoder = cast(nn.Module, encoder)
        self.n_window = n_window
        self.n_features, self.fs_hz, self.n_leads = encoder.n_features, encoder.fs_hz, encoder.n_leads
        self.n_samples: int | None = None

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        if x.shape[-1] <= self.n_window:
            return cast(Tensor, self.encoder(x))
        windows = [
            self.encoder(x[..., start : start + self.n_window]) for start in covering(x.shape[-1], self.n_window)
        ]
        return torch.stack(windows).mean(0)

    def stages(self) -> list[list[nn.Parameter]]:
        """Those of the encoder."""
        return cast(Encoder, self.encoder).stages()

    def drop_path_layers(self) -> list[DropPath]:
        """Those of the encoder."""
        return cast(Encoder, self.encoder).drop_path_layers()


def covering(n_samples: int, n_window: int) -> list[int]:
    """First samples of the fewest windows that cover a record, evenly apart."""
    n_windows = -(-n_samples // n_window)
    return [round(place * (n_samples - n_window) / max(n_windows - 1, 1)) for place in range(n_windows)]


def cut(
    x: Float[Tensor, "batch lead sample"], places: Float[Tensor, " batch"], n_window: int
) -> Float[Tensor, "batch lead window"]:
    """A window of each record.

    Args:
        x: whole records.
        places: from 0 (the first window that there is) to below 1 (the last), so that arms at other rates or with
            other windows see the same part of a record.
        n_window: samples of a window.
    """
    starts: Int[Tensor, " batch"] = (places * (x.shape[-1] - n_window + 1)).long()
    columns = starts[:, None, None] + torch.arange(n_window, device=x.device)
    return x.gather(2, columns.expand(-1, x.shape[1], -1))
