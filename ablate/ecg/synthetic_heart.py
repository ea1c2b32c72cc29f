"""One synthetic heart: from conditions to the waves of its dipole, and from the dipole to twelve leads.

Every wave is a Gaussian in time with a direction in space: the vector-cardiogram is their sum, and Dower's matrix
gives the leads. Numbers are chosen to look right, not taken from a source, unless one is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DURATION_S = 10.0

# X left, Y inferior, Z posterior -> I, II, V1-V6. Source: Dower, Machado, Osborne, "On deriving the
# electrocardiogram from vectorcardiographic leads" (1980).
DOWER = np.array([
    [0.632, -0.235, 0.059], [0.235, 1.066, -0.132], [-0.515, 0.157, -0.917], [0.044, 0.164, -1.387],
    [0.882, 0.098, -1.277], [1.213, 0.127, -0.601], [1.125, 0.127, -0.086], [0.831, 0.076, 0.230],
])  # fmt: skip

# The other limb leads from I and II: Einthoven and Goldberger, exact by definition of the electrodes.
TO_TWELVE = np.zeros((12, 8))
TO_TWELVE[np.array([0, 1, 6, 7, 8, 9, 10, 11]), np.arange(8)] = 1
TO_TWELVE[2:6, :2] = [[-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]]

_STRETCH = 5  # column of a wave: 1 where its delay follows the square root of the beat's length, as the T wave's does
_P, _SEPTAL, _MAIN, _LATERAL, _BASAL, _T = range(6)

#                 delay_s width_s   x      y      z   stretch
_NORMAL = np.array([
    [-0.160, 0.022, 0.06, 0.12, -0.02, 0],
    [-0.022, 0.009, -0.14, -0.06, -0.26, 0],
    [0.000, 0.011, 0.95, 0.70, 0.28, 0],
    [0.014, 0.012, 0.40, 0.08, 0.48, 0],
    [0.032, 0.011, -0.16, -0.14, 0.34, 0],
    [0.270, 0.048, 0.26, 0.20, -0.16, 1],
])  # fmt: skip

_LEFT_BLOCK = np.array([
    [-0.015, 0.025, 0.20, 0.10, 0.25, 0],
    [0.015, 0.025, 0.55, 0.25, 0.60, 0],
    [0.050, 0.025, 0.60, 0.05, 0.55, 0],
    [0.080, 0.025, 0.30, -0.10, 0.30, 0],
    [0.270, 0.048, -0.35, -0.05, -0.38, 1],
])  # fmt: skip

_ECTOPIC = np.array([
    [0.010, 0.030, -0.85, 0.95, 0.30, 0],
    [0.070, 0.034, -0.35, -0.55, 0.75, 0],
    [0.300, 0.060, 0.42, -0.30, -0.40, 1],
])  # fmt: skip

LATENTS = (
    "heart_rate", "rr_spread", "pr_interval", "qrs_width", "t_delay", "qrs_gain", "t_gain", "p_gain", "st_level",
    "septal_z", "main_x", "main_y", "turn_x", "turn_y", "turn_z", "n_ectopic", "flutter", "noise",
)  # fmt: skip

Severities = Mapping[str, float]  # code of each condition that is present -> severity in (0, 1]


@dataclass(frozen=True)
class Anatomy:
    """What stays with a patient from record to record: how the heart lies in the chest, and how loud it is."""

    turn_rad: Float[np.ndarray, "3"]
    gain: float


@dataclass(frozen=True)
class Plan:
    """A record before it is drawn: its waves, its beats and everything else that is random but not noise."""

    waves: Float[np.ndarray, "wave 5"]
    rotation: Float[np.ndarray, "3 3"]
    flutter_hz: float
    flutter_mv: float
    is_saw: bool
    noise_mv: float
    latents: Float[np.ndarray, "latent"]


def plan_record(severities: Severities, anatomy: Anatomy, random: np.random.Generator) -> Plan:
    """Draw the rhythm and the shape of the beats of one record of ten seconds."""
    beat = _beat(severities, anatomy, random)
    times_s, is_ectopic = _beats(severities, random)
    flutter_hz, flutter_mv = _flutter(severities, random)
    turn = anatomy.turn_rad + random.normal(0, 0.05, 3)
    noise_mv = 0.012 * np.exp(random.normal(0, 0.6))
    rr_s = np.diff(times_s)
    latents = np.array([
        60 / rr_s.mean(), rr_s.std(), -beat[_P, 0], beat[_MAIN, 1], beat[_T, 0], np.linalg.norm(beat[_MAIN, 2:5]),
        np.linalg.norm(beat[_T, 2:5]), np.linalg.norm(beat[_P, 2:5]), severities.get("STD_", 0.0), beat[_SEPTAL, 4],
        beat[_MAIN, 2], beat[_MAIN, 3], *turn, is_ectopic.sum(), flutter_mv, np.log(noise_mv),
    ])  # fmt: skip
    waves = _waves(beat, times_s, is_ectopic, anatomy.gain)
    return Plan(waves, _rotation(turn), flutter_hz, flutter_mv, "AFLT" in severities, noise_mv, latents)


def draw_dipole(plan: Plan, times_s: Float[np.ndarray, "sample"]) -> Float[np.ndarray, "3 sample"]:
    """The electrical heart vector in millivolts at each moment."""
    away = (times_s[None] - plan.waves[:, :1]) / plan.waves[:, 1:2]
    dipole = plan.waves[:, 2:].T.astype(np.float32) @ np.exp(-0.5 * np.square(away, dtype=np.float32))
    if plan.flutter_mv:
        turns = plan.flutter_hz * times_s
        wavering = 2 * np.pi * turns + 1.5 * np.sin(2 * np.pi * 0.37 * times_s)
        swing = 2 * (turns % 1) - 1 if plan.is_saw else np.sin(wavering)
        dipole = dipole + plan.flutter_mv * np.outer([0.3, 0.8, -0.5], swing)
    return np.asarray(plan.rotation @ dipole)


def _beat(has: Severities, anatomy: Anatomy, random: np.random.Generator) -> np.ndarray:
    """Waves of an ordinary beat under these conditions; the order of the changes is that of the excitation."""
    beat = np.concatenate([_NORMAL, np.zeros((4, 6))])  # four more rows for waves that only some hearts have
    beat[:, 2:5] *= np.exp(random.normal(0, 0.10, (10, 3)))
    beat[_SEPTAL:_T, 1] *= np.exp(random.normal(0, 0.06))
    beat[_P, 0] += random.normal(0, 0.018)
    spare = iter(range(6, 10))
    if "1AVB" in has:
        beat[_P, 0] = -random.uniform(0.205, 0.325)
    if {"AFIB", "AFLT", "PACE"} & has.keys():
        beat[_P, 2:5] = 0
    _block(beat, has, spare)
    _infarct(beat, has)
    if "LVH" in has:
        beat[_SEPTAL:_T, 2:5] *= 1 + 0.75 * has["LVH"]
        beat[_T, 2] *= 1 - 1.4 * has["LVH"]
    if "RVH" in has:
        beat[_MAIN, 2:5] += has["RVH"] * np.array([-1.1, 0.1, -0.9])
        beat[_LATERAL, 4] -= 0.5 * has["RVH"]
    _repolarise(beat, has, spare)
    if "LVOLT" in has:
        beat[:, 2:5] *= 1 - 0.5 - 0.2 * has["LVOLT"]
    if "PACE" in has:
        beat[next(spare)] = [-0.045, 0.004, 0.5, 0.9, 0.1, 0]
    return beat[beat[:, 1] > 0]


def _block(beat: np.ndarray, has: Severities, spare: Iterator[int]) -> None:
    if "CLBBB" in has or "PACE" in has:
        beat[_SEPTAL : _T + 1] = _LEFT_BLOCK
        if "PACE" in has:
            beat[_SEPTAL:_T, 3] -= 0.45
    if "CRBBB" in has or "IRBBB" in has:
        complete = "CRBBB" in has
        beat[next(spare)] = [0.062, 0.019, -0.55, 0, -0.60, 0] if complete else [0.046, 0.011, -0.28, 0, -0.32, 0]
    if "LAFB" in has:
        beat[_MAIN : _BASAL + 1, 3] -= (0.75 + 0.5 * has["LAFB"]) * np.array([1.0, 0.6, 0.3])
        beat[_SEPTAL, 3] += 0.15
    if "IVCD" in has:
        beat[_SEPTAL:_T, 1] *= 1.35 + 0.35 * has["IVCD"]
    if "WPW" in has:
        beat[_P, 0] = -0.115
        beat[next(spare)] = [-0.040, 0.017, 0.32, 0.12, -0.20, 0]


def _infarct(beat: np.ndarray, has: Severities) -> None:
    """A dead wall lets the first forces point away from it, and its T wave turns."""
    for code, axis, side in (("IMI", 3, -1.0), ("ASMI", 4, 1.0), ("LMI", 2, -1.0)):
        if code in has:
            beat[_SEPTAL, axis] += side * 0.55 * has[code]
            beat[_SEPTAL, 1] *= 1.25
            beat[_MAIN, axis] += side * 0.25 * has[code]
            beat[_T, axis] += side * 0.45 * has[code]
    if "QWAVE" in has:
        beat[_SEPTAL, 2:4] -= 0.30 * has["QWAVE"]
        beat[_SEPTAL, 1] *= 1.2


def _repolarise(beat: np.ndarray, has: Severities, spare: Iterator[int]) -> None:
    if "NDT" in has:
        beat[_T, 2:5] *= 1 - 0.85 * has["NDT"]
    if "ISC_" in has:
        beat[_T, 2:5] -= has["ISC_"] * np.array([0.50, 0.20, -0.35])
    if "INVT" in has:
        beat[_T, 2:5] *= -0.4 - 0.6 * has["INVT"]
    if "LNGQT" in has:
        beat[_T, 0] *= 1.15 + 0.25 * has["LNGQT"]
        beat[_T, 1] *= 1.15
    if "STD_" in has:
        beat[next(spare)] = [0.120, 0.040, *(has["STD_"] * np.array([-0.22, -0.12, 0.14])), 1]


def _beats(has: Severities, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Moments of the beats, from before the record to after it, and which of them come from a ventricle."""
    rate = random.uniform(*_RATES.get(next((code for code in _RATES if code in has), ""), (58.0, 96.0)))
    n_beats = int(DURATION_S * rate / 60 * 1.6) + 6
    rr_s = np.full(n_beats, 60 / rate) * np.exp(random.normal(0, 0.015, n_beats))
    if "AFIB" in has:
        rr_s *= np.exp(random.normal(0, random.uniform(0.14, 0.24), n_beats))
    if "AFLT" in has:
        rr_s = 0.2 * random.choice([2, 3, 4], p=[0.35, 0.15, 0.5], size=n_beats)
    if "PACE" in has:
        rr_s = np.full(n_beats, 60 / rate)
    if "SARRH" in has:
        rr_s *= 1 + (0.12 + 0.12 * has["SARRH"]) * np.sin(2 * np.pi * (np.cumsum(rr_s) / 4.0 + random.random()))
    early = np.zeros(n_beats, bool)
    if "BIGU" in has:
        early[1::2] = True
    elif "PVC" in has or "PAC" in has:
        early[2:] = random.random(n_beats - 2) < 0.06 + 0.16 * max(has.get("PVC", 0), has.get("PAC", 0))
        early[random.integers(3, 8)] = True
        early[1:] &= ~early[:-1]
    shortened = random.uniform(0.55, 0.68, n_beats)
    pause = np.roll(early, 1)
    rr_s = np.where(early, rr_s * shortened, np.where(pause, rr_s * (2 - np.roll(shortened, 1)), rr_s))
    times_s = np.cumsum(rr_s) - random.uniform(1.0, 1.6)
    within = times_s < DURATION_S + 0.5
    return times_s[within], (early & ("PVC" in has or "BIGU" in has))[within]


_RATES = {
    "STACH": (102.0, 148.0), "SBRAD": (38.0, 56.0), "AFIB": (62.0, 140.0), "PACE": (58.0, 76.0), "BIGU": (62.0, 88.0)
}  # fmt: skip


def _flutter(has: Severities, random: np.random.Generator) -> tuple[float, float]:
    if "AFLT" in has:
        return 5.0, random.uniform(0.10, 0.18)
    if "AFIB" in has:
        return random.uniform(5.0, 8.0), random.uniform(0.03, 0.09)
    return 0.0, 0.0


def _waves(beat: np.ndarray, times_s: np.ndarray, is_ectopic: np.ndarray, gain: float) -> np.ndarray:
    """Moment, width and direction of every wave of the record."""
    lengths = np.sqrt(np.clip(np.diff(times_s, append=times_s[-1] + 0.85), 0.3, 1.6) / 0.85)
    parts = []
    for shape, which in ((beat, ~is_ectopic), (_ECTOPIC, is_ectopic)):
        waves = np.repeat(shape[None, :, :5], np.count_nonzero(which), axis=0)
        waves[..., 0] *= np.where(shape[:, _STRETCH] > 0, lengths[which, None], 1)
        waves[..., 0] += times_s[which, None]
        waves[..., 2:] *= gain
        parts.append(waves.reshape(-1, 5))
    return np.concatenate(parts)


def _rotation(turn: np.ndarray) -> np.ndarray:
    """Matrix that turns by ``|turn|`` about the axis ``turn``. Source: Rodrigues' formula."""
    angle = float(np.linalg.norm(turn)) + 1e-12
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))
