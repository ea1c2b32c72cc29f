"""What the exported models of these tests are of, and their manifests."""

from collections.abc import Callable
from pathlib import Path

from ablate import __version__, digest
from ablate.ecg.cohort import Cohort
from ablate.exported.manifest import Digests, Encoder, Manifest, Origin, Records
from ablate.model.catalogue import source_of
from ablate.outcome import Outcome
from ablate.train.params import Params

N_RECORDS, SEED = 200, 1
DATA = {"source": "synthetic", "task": "superdiagnostic", "n_records": N_RECORDS, "seed": SEED}
Train = Callable[..., tuple[Outcome, Path]]


def manifest(
    outcome: Outcome, params: Params, cohort: Cohort, encoder: str, n_window: int | None, classes: tuple[str, ...]
) -> Manifest:
    source = source_of(encoder)
    name = f"{source.file.name}:{source.function}" if source else encoder
    return Manifest(
        ablate=__version__,
        origin=Origin(training="replicate", study="s", question="?", arm="ft", title="ft", context={}, replicate=0,
                      search=0, seed=3),
        encoder=Encoder(name=name, weights="random", precision="fp32",
                        source=digest.of_file(source.file) if source else None),
        records=Records(fs_hz=cohort.fs_hz, duration_s=10, leads=cohort.leads, n_window=n_window,
                        preprocessing=cohort.preprocessing, preprocessing_version=1),
        data=DATA, classes=classes, thresholds=dict(outcome.thresholds), params=params.document(),
        scores=dict(outcome.scores), class_scores=dict(outcome.class_scores), best_epoch=outcome.best_epoch,
        n_train=outcome.n_train,
        digests=Digests(weights=digest.of_bytes(outcome.weights or b""), spec="s", **dict(outcome.digests)),
    )  # fmt: skip
