"""The role of an encoder: what the routine asks of it, whoever wrote it."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from ablate.model.drop_path import DropPath


@runtime_checkable
class Encoder(Protocol):
    """A torch module that turns records into features."""

    n_features: int
    fs_hz: int
    n_leads: int
    n_samples: int | None  # None: any length

    def __call__(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record, independent of the others in the batch."""
        ...

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output, each exactly once."""
        ...

    def drop_path_layers(self) -> list[DropPath]:
        """Residual blocks that can be dropped, from input to output."""
        ...
