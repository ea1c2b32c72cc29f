"""The average beat of a record, in few numbers: a target without labels. It holds the waves and intervals of a beat.

Beats are found by the steepness of all leads together, cut out around their peaks, and their median is taken; over the
training records its principal parts, each scaled to unit variance, are what an encoder learns to predict.
"""

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy.lib.stride_tricks import sliding_window_view

BEFORE_S, AFTER_S = 0.3, 0.5  # of a beat around its peak
REFRACTORY_S = 0.25  # no second peak within
SMOOTHING_S = 0.06
EIGHT = [0, 1, 6, 7, 8, 9, 10, 11]  # I, II, V1-V6, from which the other four limb leads are computed
CLIP = 6.0  # in standard deviations


def beat_targets(
    signals: Float[np.ndarray, "record 12 sample"], rows: Int[np.ndarray, "row"], *, fs_hz: int, n_parts: int
) -> Float32[np.ndarray, "row part"]:
    """Principal parts of the average beat of each of ``rows``, fitted on these rows and scaled to unit variance."""
    beats = np.stack([average_beat(signals[row].astype(np.float32), fs_hz=fs_hz).ravel() for row in rows])
    centred = beats - beats.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    parts = centred @ axes[:, ::-1][:, :n_parts]
    return np.asarray(np.clip(parts / (parts.std(axis=0) + 1e-9), -CLIP, CLIP), np.float32)


def average_beat(record: Float32[np.ndarray, "12 sample"], *, fs_hz: int) -> Float32[np.ndarray, "8 half"]:
    """Median over the beats, on eight leads at half the rate; zeros where no beat is found."""
    before, after = round(BEFORE_S * fs_hz), round(AFTER_S * fs_hz)
    peaks = find_peaks(record, fs_hz=fs_hz)
    peaks = peaks[(peaks >= before) & (peaks <= record.shape[1] - after)]
    if not len(peaks):
        return np.zeros((len(EIGHT), (before + after) // 2), np.float32)
    windows = sliding_window_view(record[EIGHT], before + after, axis=1)[:, peaks - before]
    median = np.median(windows, axis=1)
    return np.asarray(median.reshape(len(EIGHT), -1, 2).mean(axis=2), np.float32)


def find_peaks(record: Float32[np.ndarray, "12 sample"], *, fs_hz: int) -> Int[np.ndarray, "beat"]:
    """Samples where the leads together change fastest, at least half as fast as in the fastest hundredth."""
    width, apart = round(SMOOTHING_S * fs_hz), round(REFRACTORY_S * fs_hz)
    speed = np.convolve(np.abs(np.diff(record, axis=1)).sum(axis=0), np.ones(width) / width, mode="same")
    highest = sliding_window_view(np.pad(speed, apart), 2 * apart + 1).max(axis=1)
    peaks = np.flatnonzero((speed == highest) & (speed > 0.5 * np.quantile(speed, 0.98)))
    return peaks[np.diff(peaks, prepend=-apart - 1) > apart]  # of equally fast neighbours, the first
