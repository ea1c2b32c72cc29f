"""What the checks and the timings of a GPU share: a small cohort, its trials, and the facts of the device."""

import functools
import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ablate import __version__
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.model.catalogue import CATALOGUE, EncoderSpec
from ablate.outcome import Outcome
from ablate.train.params import Params

TASK = "superdiagnostic"
N_RECORDS = 200
TUNED = Params(data_fraction=0.5, ft_epochs=2, batch_size=16, dropout=0.1, drop_path_rate=0.3)
MODES = ("sample", "batch", "fixed")


class NotHere(Exception):
    """Why something could not be tried."""


@dataclass
class Answer:
    """What one check or timing said.

    Attributes:
        state: "passed", "failed" or "not here".
        said: why, where it did not pass.
        figures: names with numbers or words.
    """

    name: str
    state: str = "passed"
    said: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@functools.cache
def folder() -> Path:
    """Of the prepared cohort; kept for whoever runs the next check."""
    return prepare(Synthetic(n_records=N_RECORDS, seed=1), cache_dir=Path(tempfile.gettempdir()) / "ablate-gpu-check")


def data() -> TaskData:
    """The small cohort's training and validation records; no check reads a test label."""
    return load_task(open_cohort(folder()), TASK)


def random_encoder(name: str) -> EncoderSpec:
    """``name`` with the weights of a seed."""
    return EncoderSpec(name, "random")


def encoders() -> list[str]:
    """Those of the catalogue that take the small cohort's records."""
    small = data()
    n_samples = small.signals.shape[2]
    return [
        name
        for name, entry in CATALOGUE.items()
        if (entry.input.fs_hz, entry.input.n_leads) == (small.fs_hz, small.signals.shape[1])
        and entry.input.n_samples in (None, n_samples)
    ]


def bits(outcome: Outcome) -> str:
    """Digest of a trial's curve and probabilities."""
    curve = [(epoch.stage, epoch.epoch, epoch.train_loss, epoch.val_auroc) for epoch in outcome.epochs]
    return hashlib.sha256(repr(curve).encode() + outcome.val_probabilities.tobytes()).hexdigest()[:16]


def require_cuda(device: str, what: str) -> None:
    """Raises ``NotHere`` on a processor."""
    if not device.startswith("cuda"):
        raise NotHere(f"{what}: needs a GPU")


def smi(*fields: str) -> list[str]:
    """What the driver's tool says of the first GPU; nothing where there is none."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "-i", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout.strip() else []


def machine_facts(device: str) -> dict[str, Any]:
    """What a figure has to be read with: device, driver, torch."""
    facts: dict[str, Any] = {
        "ablate": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": device,
    }
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "processors": properties.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
        }
        if said := smi("driver_version", "uuid", "power.limit", "clocks.max.sm"):
            facts |= dict(zip(("driver", "uuid", "power_limit_w", "clock_max_mhz"), said, strict=False))
    return facts


def table(answers: Sequence[Answer]) -> str:
    """Markdown for the documents."""
    lines = ["| check | result | figures | seconds |", "|---|---|---|---|"]
    for answer in answers:
        figures = ", ".join(f"{name} {_short(value)}" for name, value in answer.figures.items())
        said = f"{answer.state}{': ' + answer.said if answer.said else ''}"
        lines.append(f"| {answer.name} | {said} | {figures} | {answer.seconds:.1f} |")
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
