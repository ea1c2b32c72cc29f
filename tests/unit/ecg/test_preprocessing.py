import numpy as np
import pytest
from scipy import signal as dsp
from threadpoolctl import threadpool_limits

from ablate.ecg.preprocessing import check_preprocessing, ecgfounder_filter, preprocess, resample, z_score
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError


def _published(ecg: np.ndarray, fs_hz: int) -> np.ndarray:
    """The filters as ECGFounder's authors describe them, lead by lead with scipy's own median filter."""
    rows = []
    for lead in ecg.astype(np.float64):
        filtered = lead
        if fs_hz > 100:
            filtered = dsp.filtfilt(*dsp.iirnotch(50, 30, fs_hz), filtered)
        filtered = dsp.filtfilt(*dsp.butter(N=4, Wn=[0.67, 40], btype="bandpass", fs=fs_hz), filtered)
        rows.append(filtered - dsp.medfilt(filtered, int(0.4 * fs_hz) + 1))
    return np.stack(rows)


@pytest.mark.parametrize("fs_hz", [100, 500])
def test_filters_are_the_published_ones(fs_hz: int) -> None:
    ecg = Synthetic(3, 1).read(2, fs_hz)
    assert np.abs(ecgfounder_filter(ecg, fs_hz) - _published(ecg, fs_hz)).max() < 1e-9


def test_hum_and_wander_go_and_the_beats_stay() -> None:
    time_s = np.arange(5000) / 500
    clean = Synthetic(3, 1).read(2, 500).astype(np.float64)
    hum, wander = 0.5 * np.sin(2 * np.pi * 50 * time_s), 0.8 * np.sin(2 * np.pi * 0.2 * time_s)
    middle = slice(500, -500)
    left = ecgfounder_filter(clean + hum + wander, 500) - ecgfounder_filter(clean, 500)
    assert np.abs(left[:, middle]).max() < 0.08
    assert ecgfounder_filter(clean, 500)[:, middle].std() > 0.5 * clean[:, middle].std()


def test_z_score_takes_all_leads_together() -> None:
    ecg = np.random.default_rng(0).normal(3, 2, (12, 1000)).astype(np.float32)
    ecg[4] *= 5
    scaled = z_score(ecg)
    assert abs(float(scaled.mean())) < 1e-5
    assert abs(float(scaled.std()) - 1) < 1e-5
    assert np.allclose(scaled, (ecg - ecg.mean()) / ecg.std(), atol=1e-4)
    assert scaled.dtype == np.float32


@pytest.mark.parametrize(("from_hz", "fs_hz"), [(100, 500), (500, 100)])
def test_resampling_keeps_slow_waves_and_offsets(from_hz: int, fs_hz: int) -> None:
    def wave(rate: int) -> np.ndarray:
        time_s = np.arange(10 * rate) / rate
        return np.stack([np.sin(2 * np.pi * 3 * time_s), 7 + np.cos(2 * np.pi * 11 * time_s)])

    resampled = resample(wave(from_hz), from_hz=from_hz, fs_hz=fs_hz)
    assert resampled.shape == (2, 10 * fs_hz)
    edge = fs_hz // 4
    assert np.abs(resampled - wave(fs_hz))[:, edge:-edge].max() < 0.01
    assert np.abs(resampled - wave(fs_hz)).max() < 1.2


def test_resampling_down_does_not_alias() -> None:
    time_s = np.arange(5000) / 500
    resampled = resample(np.sin(2 * np.pi * 80 * time_s)[None], from_hz=500, fs_hz=100)
    assert np.abs(resampled[:, 50:-50]).max() < 0.05


def test_the_same_rate_is_left_alone() -> None:
    ecg = np.ones((2, 5), np.float32)
    assert resample(ecg, from_hz=100, fs_hz=100) is ecg


def test_a_flat_record_gives_zeros_not_nan() -> None:
    prepared = preprocess(np.full((12, 1000), 0.3, np.float32), from_hz=100, fs_hz=100, preprocessing="ecgfounder")
    assert np.isfinite(prepared).all()


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(DataError, match=r"preprocessing = 'filters' is not known; choose one of none, ecgfounder"):
        check_preprocessing("filters")


@pytest.mark.parametrize("preprocessing", ["none", "ecgfounder"])
def test_bits_do_not_depend_on_the_threads_of_blas(preprocessing: str) -> None:
    def prepared() -> bytes:
        ecg = (Synthetic(3, 1).read(number, 500) for number in (1, 2, 3))
        return b"".join(preprocess(one, from_hz=500, fs_hz=500, preprocessing=preprocessing).tobytes() for one in ecg)

    found = set()
    for n_threads in (1, 2, 4):
        with threadpool_limits(n_threads):
            found.add(prepared())
    assert len(found) == 1
