import pickle

import numpy as np
import pytest

from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import CODES, Synthetic
from ablate.ecg.task import TASKS
from ablate.errors import DataError


@pytest.fixture(scope="module")
def source() -> Synthetic:
    return Synthetic(1500, 11)


@pytest.fixture(scope="module")
def signals(source: Synthetic) -> np.ndarray:
    return np.stack([source.read(ecg_id, 100) for ecg_id in range(1, 301)])


def _truth(source: Synthetic, code: str) -> np.ndarray:
    return source._people.severity[:, CODES.index(code)] > 0


def test_einthovens_and_goldbergers_laws_hold(signals: np.ndarray) -> None:
    lead = {name: signals[:, position] for position, name in enumerate(LEADS)}
    alive = np.ptp(signals, axis=2).min(axis=1) > 0
    residuals = (
        lead["I"] + lead["III"] - lead["II"],
        lead["aVR"] + lead["aVL"] + lead["aVF"],
        lead["aVF"] - (lead["II"] + lead["III"]) / 2,
    )
    for residual in residuals:
        assert np.abs(residual[alive]).max() < 0.0025  # the microvolts that rounding leaves


def test_size_is_that_of_real_records(signals: np.ndarray) -> None:
    assert signals.dtype == np.float32
    assert signals.shape[1:] == (12, 1000)
    assert 0.15 < signals.std() < 0.35  # PTB-XL: 0.239 mV
    assert np.isfinite(signals).all()


def test_a_record_depends_on_seed_and_identifier_alone(source: Synthetic, signals: np.ndarray) -> None:
    again = pickle.loads(pickle.dumps(Synthetic(1500, 11)))
    for ecg_id in (200, 7, 1):
        assert np.array_equal(again.read(ecg_id, 100), signals[ecg_id - 1])
    assert not np.array_equal(Synthetic(1500, 12).read(7, 100), signals[6])
    assert source.digest() == Synthetic(1500, 11).digest()
    assert len({Synthetic(n, seed).digest() for n in (10, 11) for seed in (0, 1)}) == 4


def test_both_rates_show_the_same_heart(source: Synthetic) -> None:
    slow, fast = source.read(5, 100), source.read(5, 500)
    assert fast.shape == (12, 5000)
    assert np.corrcoef(slow.ravel(), fast[:, ::5].ravel())[0, 1] > 0.8


def test_cohort_has_the_shape_of_ptbxl(source: Synthetic) -> None:
    records = source.records()
    patients, counts = np.unique(records.patient_id, return_counts=True)
    assert 1.05 < len(records.ecg_id) / len(patients) < 1.3
    assert counts.max() >= 3
    sizes = np.bincount(records.fold, minlength=11)[1:]
    assert sizes.min() > 0.8 * sizes.max()
    for patient in patients[counts > 1]:
        assert len(set(records.fold[records.patient_id == patient].tolist())) == 1
    assert 2.0 < records.statements.sum(axis=1).mean() < 3.2
    assert records.statements.any(axis=1).all()
    prevalence = dict(zip(records.codes, records.statements.mean(axis=0), strict=True))
    assert 0.35 < prevalence["NORM"] < 0.5
    assert 0.65 < prevalence["SR"] < 0.85
    assert min(prevalence.values()) > 0.003


def test_every_task_has_positives_of_every_class_to_train_on(source: Synthetic) -> None:
    records = source.records()
    for task in TASKS:
        for code in records.classes[task]:
            column = records.statements[:, records.codes.index(code)]
            assert column[records.fold <= 8].any(), (task, code)


def test_the_reader_errs_now_and_then(source: Synthetic) -> None:
    records = source.records()
    truth = source._people.severity > 0
    assert 0.02 < (truth & ~records.statements).sum() / truth.sum() < 0.08
    assert 0.002 < (~truth & records.statements).sum() / (~truth).sum() < 0.009


def test_conditions_show_in_the_signal(source: Synthetic) -> None:
    """Latents come from the waves that are drawn; each condition must move the one that a cardiologist looks at."""
    targets = source.targets()
    latent = dict(zip(targets.latent_names, targets.latents.T, strict=True))
    sinus = _truth(source, "SR")
    for code, name, least in (
        ("AFIB", "rr_spread", 0.8), ("STACH", "heart_rate", 1.2), ("1AVB", "pr_interval", 1.0),
        ("CLBBB", "qrs_width", 1.5),
        ("LVH", "qrs_gain", 0.8), ("PVC", "n_ectopic", 1.0), ("LNGQT", "t_delay", 1.0), ("AFLT", "flutter", 1.5),
    ):  # fmt: skip
        has = _truth(source, code)
        assert latent[name][has].mean() - latent[name][sinus & ~has].mean() > least, code
    assert latent["heart_rate"][_truth(source, "SBRAD")].mean() < -1


def test_targets_are_standardised_and_cover_all_records(source: Synthetic) -> None:
    targets = source.targets()
    assert targets.latents.shape == (1500, len(targets.latent_names))
    assert np.abs(targets.latents.mean(axis=0)).max() < 1e-3
    assert np.abs(targets.latents.std(axis=0) - 1).max() < 1e-3
    assert targets.groups.shape == (1500, 6)
    assert (targets.groups.mean(axis=0) > 0.05).all()


@pytest.mark.parametrize("n_records", [0, -5])
def test_a_cohort_needs_records(n_records: int) -> None:
    with pytest.raises(DataError, match=f"n_records = {n_records} is out of range"):
        Synthetic(n_records)


def test_no_such_record_is_an_error(source: Synthetic) -> None:
    with pytest.raises(DataError, match="no record 1501"):
        source.read(1501, 100)
