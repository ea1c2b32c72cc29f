"""An exported model: loaded from its folder, without a database, and asked for probabilities."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablate import digest
from ablate.ecg.preprocessing import VERSION as PREPROCESSING_VERSION
from ablate.ecg.preprocessing import preprocess
from ablate.errors import CheckpointError, DataError
from ablate.exported.manifest import MANIFEST, Manifest, Records, check_weights, read_manifest
from ablate.model.checkpoint import fit, read_checkpoint
from ablate.model.encoder import Classifier, Encoder, build, require_input
from ablate.model.window import WindowMean
from ablate.outcome import Probabilities
from ablate.own_code import source_of
from ablate.train.finetune import EVAL_BATCH
from ablate.train.machine import Machine, memory_errors, prepared
from ablate.train.params import Params
from ablate.train.signals import to_device
from ablate.train.trial import to_probabilities


@dataclass(frozen=True)
class ExportedModel:
    """A network with all that is known of it.

    Attributes:
        network: in eval mode, on the CPU between calls.
        machine: where it computes.
    """

    manifest: Manifest
    network: Classifier = field(repr=False)
    machine: Machine

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of ``predict``."""
        return self.manifest.classes

    def predict(self, signals: Float[np.ndarray, "record lead sample"], *, fs_hz: int | None = None) -> Probabilities:
        """Probability of each class for each record; several classes may be likely at once.

        Args:
            signals: in millivolts, ten seconds each, leads in the order of ``manifest.records.leads``.
            fs_hz: their rate; the model's own by default.

        Raises:
            DataError: they have other leads or another length, or a value is not finite.
            OutOfMemory: the device has too little.
        """
        takes, from_hz = self.manifest.records, fs_hz or self.manifest.records.fs_hz
        _check_signals(signals, takes, from_hz)
        ready = [
            preprocess(
                np.asarray(record, np.float32), from_hz=from_hz, fs_hz=takes.fs_hz, preprocessing=takes.preprocessing
            ).astype(np.float16)
            for record in signals
        ]
        return self.predict_prepared(np.stack(ready) if ready else np.empty((0, *signals.shape[1:]), np.float16))

    def predict_prepared(self, signals: Float[np.ndarray, "record lead sample"]) -> Probabilities:
        """The same for records that are filtered, scaled and in float16 already, as prepared arrays are.

        Raises:
            OutOfMemory: the device has too little.
        """
        if not len(signals):
            return np.empty((0, len(self.classes)), np.float32)
        size = EVAL_BATCH[self.machine.device.partition(":")[0]]
        with memory_errors(self.machine), prepared(self.machine, strict=False) as device, torch.inference_mode():
            network = self.network.to(device).eval()
            try:
                logits = [
                    self._logits(network, np.array(signals[start : start + size]), device)
                    for start in range(0, len(signals), size)
                ]
                return to_probabilities(torch.cat(logits))
            finally:
                network.to("cpu")

    def _logits(
        self, network: Classifier, signals: Float[np.ndarray, "record lead sample"], device: torch.device
    ) -> Float[Tensor, "record class"]:
        x = to_device(torch.from_numpy(signals), device).float()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.machine.precision == "bf16"):
            return cast(Tensor, network(x))


def load_model(
    folder: str | Path, *, encoder: str | None = None, device: str = "cpu", n_threads: int = 1
) -> ExportedModel:
    """The model in a folder that ``ablate export`` wrote.

    Args:
        folder: with ``model.json`` and the weights.
        encoder: FILE.py:FUNCTION, for a model whose encoder is code of one's own: code of a folder is never run
            unless it is named here.
        device: cpu, cuda or cuda:N.
        n_threads: of torch on the CPU.

    Raises:
        CheckpointError: something is missing, damaged or of another version, or the code of the encoder is not named.
        SpecError: the device is not there, or nothing has the encoder's name.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.records.preprocessing_version != PREPROCESSING_VERSION:
        raise CheckpointError(
            f"{folder / MANIFEST}: records.preprocessing_version = {manifest.records.preprocessing_version}; this "
            f"ablate computes version {PREPROCESSING_VERSION}, so take ablate {manifest.ablate}, which wrote it"
        )
    file = check_weights(folder, manifest)
    is_probe = not Params.from_dict(manifest.params).ft_epochs  # which is always fp32
    precision = "fp32" if is_probe else manifest.encoder.precision
    machine = Machine(device=device, precision=precision, n_threads=n_threads)
    with torch.random.fork_rng(devices=[]):
        made = build(_encoder_name(folder, manifest, encoder))
    takes, n_window = manifest.records, manifest.records.n_window
    n_taken = n_window or takes.fs_hz * takes.duration_s
    require_input(made, fs_hz=takes.fs_hz, n_leads=len(takes.leads), n_samples=n_taken, any_rate=True)
    whole = cast(Encoder, WindowMean(made, n_window)) if n_window else made
    network = Classifier(whole, len(manifest.classes))
    fit(network, cast(dict[str, Tensor], read_checkpoint(file)), file)
    return ExportedModel(manifest, network.eval(), machine)


def _encoder_name(folder: Path, manifest: Manifest, given: str | None) -> str:
    """By which name the encoder is built: code from a file only where the caller names it, and where it is the same."""
    if source_of(manifest.encoder.name) is None:  # whatever else the file says: a name of code is never enough
        return manifest.encoder.name
    own = f"{folder / manifest.encoder.name}"
    if given is None:
        raise CheckpointError(
            f"{folder}: its encoder is somebody's own code, which is not run by itself; look at it, then name it: "
            f"--encoder {own}, or load_model(…, encoder={own!r})"
        )
    named = source_of(given)
    if named is None or not named.file.is_file():
        raise CheckpointError(f"encoder {given}: there is no such file; expected FILE.py:FUNCTION, such as {own}")
    if digest.of_file(named.file) != manifest.encoder.source:
        raise CheckpointError(f"{named.file}: is not the code that the weights were trained with; take {own}")
    return given


def _check_signals(signals: Float[np.ndarray, "record lead sample"], takes: Records, from_hz: int) -> None:
    expected = (len(takes.leads), from_hz * takes.duration_s)
    if signals.ndim != 3 or signals.shape[1:] != expected:
        raise DataError(
            f"signals have the shape {signals.shape}; expected (records, {expected[0]}, {expected[1]}): leads "
            f"{' '.join(takes.leads)}, {takes.duration_s} s at {from_hz} Hz"
        )
    if not np.isfinite(signals).all():
        raise DataError("signals have samples that are not finite; fill gaps or leave such records out")
