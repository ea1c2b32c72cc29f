"""The encoders there are: their names, shapes and shipped weights. No torch here, so that a study can ask cheaply."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from ablate import digest
from ablate.errors import CheckpointError, SpecError
from ablate.own_code import package_sources, source_of

WEIGHTS_DIR = Path(__file__).parent / "weights"
EMBEDDED = ("embedded", "synthetic")  # names of weights that come with the package
FOUNDER_CLASSES = 150  # of ECGFounder's own head, in its checkpoints
ENTRY_POINTS = "ablate.encoders"
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint as others have wrapped it; what is left out is guessed where only one guess fits.

    Args:
        file: path of the checkpoint.
        key: under which the file holds the weights, such as ``state_dict`` or ``model.encoder``; empty for the file
            itself.
        strip: what the names of the encoder's weights begin with there, such as ``module.``; others are left over.
        head: names that begin so belong to a head, which is left out.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    file: str
    key: str | None = None
    strip: str | None = None
    head: str | None = None

    def __str__(self) -> str:
        return self.file


Weights = str | WeightsFile


@dataclass(frozen=True)
class EncoderSpec:
    """Which encoder, with which weights, and in which precision it is fine-tuned.

    Args:
        name: a name of ``CATALOGUE``, of an entry point in the group ``ablate.encoders``, or ``FILE.py:FUNCTION``.
        weights: ``embedded``, ``synthetic``, ``random``, the path of a checkpoint, or a table that says where in it
            they are.
        precision: of fine-tuning's forward pass; the probe and its features are always fp32.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}  # a study file's [encoder] is one

    name: str
    weights: Weights = "embedded"
    precision: Precision = "fp32"

    @property
    def is_random(self) -> bool:
        """Whether it starts from random weights."""
        return self.weights == "random"


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
    drops_paths: bool = True  # whether it has residual blocks that can be dropped


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
    """The catalogue's entry, or None for an encoder of one's own, from a file or an entry point.

    Raises:
        SpecError: nothing has that name, or there is no such file.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if (source := source_of(name)) is not None:
        if not source.file.is_file():
            raise SpecError(f"encoder.name = {name!r}: there is no file {source.file}; expected FILE.py:FUNCTION")
        return None
    if name in names():
        return None
    raise SpecError(
        f"encoder.name = {name!r}: expected one of {', '.join(names())}, or FILE.py:FUNCTION; "
        "`ablate encoder list` describes them"
    )


class _Records(Protocol):
    """What an encoder gets."""

    @property
    def fs_hz(self) -> int: ...

    @property
    def leads(self) -> tuple[str, ...]: ...

    @property
    def n_samples(self) -> int: ...


def unfit(name: str, catalogued: CatalogueEntry, data: _Records, starts_random: bool, drops_paths: bool) -> list[str]:
    """What keeps an encoder of the catalogue from records like these, a sentence for each thing.

    Args:
        name: of the encoder.
        catalogued: its entry.
        data: the records that it would get.
        starts_random: whether its weights are for no rate of their own.
        drops_paths: whether an arm wants to drop residual blocks.
    """
    takes, lacking = catalogued.input, []
    if takes.fs_hz != data.fs_hz and not (starts_random and takes.n_samples is None):
        lacking.append(f"data.fs_hz = {data.fs_hz}: {name} expects {takes.fs_hz}; write fs_hz = {takes.fs_hz}")
    if takes.n_leads != len(data.leads):
        lacking.append(f"data.leads: {name} takes {takes.n_leads}, these are {len(data.leads)}; name as many in leads")
    if takes.n_samples is not None and takes.n_samples != data.n_samples:
        window_s = takes.n_samples / data.fs_hz
        lacking.append(
            f"data.window_s: {name} takes {takes.n_samples} samples, it would get {data.n_samples}; "
            f"write window_s = {window_s:g}"
        )
    if drops_paths and not catalogued.drops_paths:
        lacking.append(f"{name} has no residual blocks that can be dropped; set drop_path_rate = 0 in its arms")
    return [f"{each}, or choose another encoder" for each in lacking]


def shipped(name: str) -> tuple[str, ...]:
    """Which weights come with the package for this encoder."""
    return tuple(weights for weights in EMBEDDED if _embedded_file(name, weights).is_file())


def weights_file(spec: EncoderSpec) -> Path | None:
    """The file that holds the weights, or None when they are random.

    Raises:
        CheckpointError: there is no such file, or no weights of that name come with the package for this encoder.
    """
    if spec.is_random:
        return None
    if spec.weights in EMBEDDED:
        file = _embedded_file(spec.name, str(spec.weights))
        reason = f"no such weights come with the package for {spec.name}; expected 'random' or a checkpoint's path"
    else:
        file = Path(str(spec.weights)).expanduser()
        reason = f"no such file; expected {', '.join(EMBEDDED)}, random or a checkpoint's path"
    if not file.is_file():
        raise CheckpointError(f"encoder.weights = {str(spec.weights)!r}: {reason}")
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
    catalogued = entry(spec.name)
    file = weights_file(spec)
    about = asdict(catalogued) if catalogued else _about_own(spec.name)
    about.pop("about", None)
    about.pop("drops_paths", None)  # says what its blocks are, and decides nothing that they compute
    if isinstance(spec.weights, WeightsFile):
        about["wrapping"] = {**asdict(spec.weights), "file": ""}  # another part of the same file is other weights
    return digest.of_json({"name": spec.name, **about, "weights": digest.of_file(file) if file else f"random {seed}"})


def _embedded_file(name: str, weights: str) -> Path:
    return WEIGHTS_DIR / f"{name}_{weights}.safetensors"


def _about_own(name: str) -> dict[str, Any]:
    """What tells one version of an encoder of one's own from another: its source, and its package's version."""
    if (source := source_of(name)) is not None:
        return {"function": source.function, "source": digest.of_file(source.file)}
    (point, *_) = importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
    version = point.dist.version if point.dist else ""
    return {"entry_point": f"{point.value} {version}", "source": digest.of_json(package_sources(point.module))}
