"""The encoders there are: their names, shapes and shipped weights. No torch here, so that a study can ask cheaply."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ablate import digest
from ablate.errors import CheckpointError, SpecError

WEIGHTS_DIR = Path(__file__).parent / "weights"
EMBEDDED = ("embedded", "synthetic")  # names of weights that come with the package
FOUNDER_CLASSES = 150  # of ECGFounder's own head, in its checkpoints
ENTRY_POINTS = "ablate.encoders"
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class EncoderSpec:
    """Which encoder, with which weights, and in which precision it is fine-tuned.

    Args:
        name: a name of ``CATALOGUE``, or of an entry point in the group ``ablate.encoders``.
        weights: ``embedded``, ``synthetic``, ``random``, or the path of a checkpoint.
        precision: of fine-tuning's forward pass; the probe and its features are always fp32.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}  # a study file's [encoder] is one

    name: str
    weights: str = "embedded"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Input:
    """The records that an encoder takes.

    Args:
        n_samples: None where any length will do.
    """

    fs_hz: int
    n_leads: int
    n_samples: int | None = None


@dataclass(frozen=True)
class Net1DShape:
    """Widths and depths of a Net1D; the first convolution and each stage halve the samples."""

    stem_width: int
    stage_widths: tuple[int, ...]
    stage_depths: tuple[int, ...]
    group_width: int
    kernel_size: int = 16
    n_classes: int = 0  # of the authors' own head; none in an encoder
    kind: Literal["net1d"] = "net1d"

    @property
    def n_features(self) -> int:
        """Width of the last stage."""
        return self.stage_widths[-1]


@dataclass(frozen=True)
class VitShape:
    """A 1-D vision transformer over patches in time."""

    width: int
    depth: int
    n_heads: int
    patch_samples: int
    kind: Literal["vit"] = "vit"

    @property
    def n_features(self) -> int:
        """Width of a token."""
        return self.width


@dataclass(frozen=True)
class XResNetShape:
    """An xresnet of bottleneck blocks, four times as wide outside as inside."""

    stage_depths: tuple[int, ...]
    width: int = 64
    stem_widths: tuple[int, ...] = (32, 32, 64)
    kind: Literal["xresnet1d"] = "xresnet1d"

    @property
    def n_features(self) -> int:
        """The largest and the mean activation of each channel."""
        return 8 * self.width


@dataclass(frozen=True)
class ResNetShape:
    """A residual network with one block of two convolutions in each stage."""

    width: int
    n_stages: int
    kind: Literal["resnet1d"] = "resnet1d"

    @property
    def n_features(self) -> int:
        """The largest and the mean activation of each channel."""
        return 2 * self.width


@dataclass(frozen=True)
class InceptionShape:
    """Inception modules, a shortcut around every three."""

    width: int
    depth: int
    kernel_sizes: tuple[int, ...]
    kind: Literal["inception1d"] = "inception1d"

    @property
    def n_features(self) -> int:
        """The largest and the mean activation of each channel."""
        return 2 * (len(self.kernel_sizes) + 1) * self.width


@dataclass(frozen=True)
class S4dShape:
    """Diagonal state-space blocks."""

    width: int
    depth: int
    n_states: int
    kind: Literal["s4d"] = "s4d"

    @property
    def n_features(self) -> int:
        """Width of a block."""
        return self.width


@dataclass(frozen=True)
class StMemShape:
    """ST-MEM's transformer over patches of each lead."""

    width: int
    depth: int
    n_heads: int
    mlp_width: int
    patch_samples: int = 75
    kind: Literal["st_mem"] = "st_mem"

    @property
    def n_features(self) -> int:
        """Width of a token."""
        return self.width


Shape = Net1DShape | VitShape | XResNetShape | ResNetShape | InceptionShape | S4dShape | StMemShape


@dataclass(frozen=True)
class CatalogueEntry:
    """One encoder of the catalogue."""

    input: Input
    shape: Shape
    about: str
    channels_last: bool = False


_FOUNDER = Net1DShape(64, (64, 160, 160, 400, 400, 1024, 1024), (2, 2, 2, 3, 3, 4, 4), 16)

CATALOGUE: Mapping[str, CatalogueEntry] = {
    "net1d_small": CatalogueEntry(
        Input(100, 12),
        Net1DShape(16, (16, 32, 64, 96, 128), (1, 1, 2, 2, 1), 16, kernel_size=8),
        "small Net1D, a stand-in for ECGFounder that trains on a laptop; weights come with the package",
        channels_last=True,
    ),
    "vit_small": CatalogueEntry(
        Input(100, 12, 1000),
        VitShape(96, 6, 4, 25),
        "1-D vision transformer in the manner of ST-MEM and MERL",
    ),
    "xresnet1d50": CatalogueEntry(
        Input(100, 12), XResNetShape((3, 4, 6, 3)), "xresnet1d50 of the PTB-XL benchmark of 2021; has BatchNorm"
    ),
    "xresnet1d101": CatalogueEntry(
        Input(100, 12), XResNetShape((3, 4, 23, 3)), "xresnet1d101 of the PTB-XL benchmark of 2021; has BatchNorm"
    ),
    "inception1d": CatalogueEntry(
        Input(100, 12),
        InceptionShape(32, 6, (39, 19, 9)),
        "InceptionTime of the PTB-XL benchmark of 2021; has BatchNorm",
    ),
    "resnet1d_wang": CatalogueEntry(
        Input(100, 12), ResNetShape(128, 3), "resnet1d_wang of the PTB-XL benchmark of 2021; has BatchNorm"
    ),
    "s4d": CatalogueEntry(Input(100, 12), S4dShape(128, 4, 64), "diagonal structured state-space encoder (S4D)"),
    "st_mem_base": CatalogueEntry(
        Input(250, 12, 2250), StMemShape(768, 12, 12, 3072), "ST-MEM's transformer, 250 Hz and 9 s"
    ),
    "ecgfounder": CatalogueEntry(Input(500, 12), _FOUNDER, "ECGFounder, 12 leads (12_lead_ECGFounder.pth)"),
    "ecgfounder_1lead": CatalogueEntry(Input(500, 1), _FOUNDER, "ECGFounder, 1 lead (1_lead_ECGFounder.pth)"),
}


def names() -> tuple[str, ...]:
    """Every encoder that can be named: the catalogue's, then those of installed packages."""
    return (*CATALOGUE, *sorted(point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)))


def entry(name: str) -> CatalogueEntry | None:
    """The catalogue's entry, or None for an entry point.

    Raises:
        SpecError: nothing has that name.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if name in names():
        return None
    raise SpecError(
        f"encoder.name = {name!r}: expected one of {', '.join(names())}; `ablate encoder list` describes them"
    )


def shipped(name: str) -> tuple[str, ...]:
    """Which weights come with the package for this encoder."""
    return tuple(weights for weights in EMBEDDED if _embedded_file(name, weights).is_file())


def weights_file(spec: EncoderSpec) -> Path | None:
    """The file that holds the weights, or None when they are random.

    Raises:
        CheckpointError: there is no such file, or no weights of that name come with the package for this encoder.
    """
    if spec.weights == "random":
        return None
    if spec.weights in EMBEDDED:
        file = _embedded_file(spec.name, spec.weights)
        reason = f"no such weights come with the package for {spec.name}; expected 'random' or a checkpoint's path"
    else:
        file = Path(spec.weights).expanduser()
        reason = f"no such file; expected {', '.join(EMBEDDED)}, random or a checkpoint's path"
    if not file.is_file():
        raise CheckpointError(f"encoder.weights = {spec.weights!r}: {reason}")
    return file


def encoder_digest(spec: EncoderSpec, *, seed: int = 0) -> str:
    """Digest of all that decides what the encoder computes: its architecture and its weights.

    Args:
        spec: which encoder.
        seed: of random weights; others do not depend on it.

    Raises:
        SpecError: nothing has that name.
        CheckpointError: the weights' file is missing.
    """
    found = entry(spec.name)
    file = weights_file(spec)
    about = asdict(found) if found else {"entry_point": spec.name, "version": _version_of(spec.name)}
    about.pop("about", None)
    return digest.of_json({"name": spec.name, **about, "weights": digest.of_file(file) if file else f"random {seed}"})


def _embedded_file(name: str, weights: str) -> Path:
    return WEIGHTS_DIR / f"{name}_{weights}.safetensors"


def _version_of(name: str) -> str:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
    return " ".join(f"{point.value} {point.dist.version if point.dist else ''}" for point in points)
