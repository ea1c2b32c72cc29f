"""A synthetic cohort in the shape of PTB-XL: patients with conditions, statements with errors, folds by patient.

Made so that everything downstream is one path, and so that a study can be tried without any data. It is no substitute
for real records: what raises a score here need not do so on people.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int

from ablate import digest, seeds
from ablate.ecg.balanced_order import balanced_order
from ablate.ecg.source import RATES_HZ, TEST_FOLD, Reading, Records, best_rate
from ablate.ecg.synthetic_heart import DOWER, DURATION_S, LATENTS, TO_TWELVE, Anatomy, draw_dipole, plan_record
from ablate.ecg.task import Statement, task_classes
from ablate.errors import DataError

VERSION = 1  # to be raised whenever a record comes out otherwise than before

_MISSED, _FALSE = 0.05, 0.005  # rates of statements that the reader forgets, or gives for nothing
_DEAD_LEAD = 0.01

# code: share of patients, kind (R rhythm, D diagnostic, F form, B both D and F), subclass and superclass as in PTB-XL
_STATEMENTS = {
    "AFIB": (0.080, "R", "", ""), "STACH": (0.040, "R", "", ""), "SBRAD": (0.040, "R", "", ""),
    "SARRH": (0.040, "R", "", ""), "AFLT": (0.015, "R", "", ""), "PACE": (0.020, "R", "", ""),
    "BIGU": (0.012, "R", "", ""), "SR": (0.0, "R", "", ""), "NORM": (0.0, "D", "NORM", "NORM"),
    "IMI": (0.120, "D", "IMI", "MI"), "ASMI": (0.110, "D", "AMI", "MI"), "LMI": (0.030, "D", "LMI", "MI"),
    "LVH": (0.110, "D", "LVH", "HYP"), "RVH": (0.020, "D", "RVH", "HYP"), "NDT": (0.080, "B", "STTC", "STTC"),
    "ISC_": (0.080, "D", "ISC_", "STTC"), "LNGQT": (0.020, "B", "STTC", "STTC"),
    "LAFB": (0.080, "D", "LAFB/LPFB", "CD"),
    "CLBBB": (0.030, "D", "CLBBB", "CD"), "CRBBB": (0.035, "D", "CRBBB", "CD"), "IRBBB": (0.050, "D", "IRBBB", "CD"),
    "1AVB": (0.045, "D", "_AVB", "CD"), "IVCD": (0.040, "D", "IVCD", "CD"), "WPW": (0.012, "D", "WPW", "CD"),
    "PVC": (0.060, "F", "", ""), "PAC": (0.030, "F", "", ""), "STD_": (0.060, "F", "", ""),
    "INVT": (0.030, "F", "", ""), "LVOLT": (0.020, "F", "", ""), "QWAVE": (0.040, "F", "", ""),
}  # fmt: skip
CODES = tuple(sorted(_STATEMENTS))
_RHYTHMS = ("AFIB", "STACH", "SBRAD", "SARRH", "AFLT", "PACE", "BIGU")  # one at a time; without any it is SR
_EXCLUSIVE = (("CLBBB", "CRBBB", "IRBBB", "IVCD", "WPW"), ("LVH", "LVOLT"), ("IMI", "LMI"), ("NDT", "INVT", "ISC_"))
_GROUPS = {
    "irregular": ("AFIB", "AFLT", "BIGU", "PVC", "PAC", "SARRH"),
    "infarction": ("IMI", "ASMI", "LMI", "QWAVE"),
    "conduction": ("LAFB", "CLBBB", "CRBBB", "IRBBB", "1AVB", "IVCD", "WPW", "PACE"),
    "voltage": ("LVH", "RVH", "LVOLT"),
    "repolarisation": ("NDT", "ISC_", "LNGQT", "STD_", "INVT"),
    "healthy": ("NORM",),
}


@dataclass(frozen=True)
class Targets:
    """What a generator knows and a reader does not: other targets than the statements, to pre-train an encoder on.

    Attributes:
        latents: of the record's plan, each with mean 0 and standard deviation 1 over the cohort.
        groups: coarse groups of conditions as they truly are; three of them are unions of downstream labels.
    """

    ecg_id: Int[np.ndarray, "record"]
    latent_names: tuple[str, ...]
    latents: Float32[np.ndarray, "record latent"]
    group_names: tuple[str, ...]
    groups: Bool[np.ndarray, "record group"]


@dataclass(frozen=True)
class Synthetic:
    """A cohort of ``n_records`` records that its seed determines; another seed is another cohort of the same kind."""

    n_records: int
    seed: int = 0

    name = "synthetic"
    reads_files = False

    def __post_init__(self) -> None:
        if self.n_records < 1:
            raise DataError(f"n_records = {self.n_records} is out of range; a synthetic cohort needs at least 1 record")

    def digest(self, fs_hz: int = 100) -> str:
        """Of size, seed and version of the generator; the rate is no property of the cohort."""
        del fs_hz
        return digest.of_json(["synthetic", VERSION, self.n_records, self.seed])

    def identity(self) -> str:
        """The same as ``digest``: nothing else decides the content."""
        return self.digest()

    def stored_hz(self, fs_hz: int) -> int:
        """Records are made at 100 or 500 Hz."""
        return best_rate(fs_hz, RATES_HZ)

    def records(self) -> Records:
        """Identifiers 1 to ``n_records``, patients, folds, and the statements of a reader who sometimes errs."""
        people = self._people
        random = self._random("reader")
        truth = people.severity > 0
        chance = random.random(truth.shape)
        given = np.where(truth, chance >= _MISSED, chance < _FALSE)
        given[~given.any(axis=1)] = truth[~given.any(axis=1)]
        return Records(
            ecg_id=np.arange(1, self.n_records + 1),
            patient_id=people.patient + 1,
            fold=people.fold,
            codes=CODES,
            statements=given,
            classes=task_classes(_statements()),
        )

    def read(self, ecg_id: int, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
        """Draw one record; the same identifier gives the same record, whoever draws it and in whatever order.

        Raises:
            DataError: no such record or rate.
        """
        if not 1 <= ecg_id <= self.n_records or fs_hz not in RATES_HZ:
            raise DataError(
                f"synthetic: no record {ecg_id} at {fs_hz} Hz; there are 1 to {self.n_records}, at 100 or 500"
            )
        random = self._random("record", ecg_id)
        plan = plan_record(*self._people.heart(ecg_id - 1), random)
        times_s = np.arange(int(DURATION_S * fs_hz), dtype=np.float32) / np.float32(fs_hz)
        eight = _electrodes(random) @ draw_dipole(plan, times_s) + _disturbance(plan.noise_mv, times_s, random)
        signal = TO_TWELVE @ eight
        if random.random() < _DEAD_LEAD:
            signal[random.integers(12)] = 0
        return np.asarray(np.round(signal, 3), np.float32)  # a microvolt, the resolution of PTB-XL's files

    def reading(self, ecg_id: int, fs_hz: int) -> Reading:
        """The same; nothing is ever done to a record."""
        return Reading(self.read(ecg_id, fs_hz), fs_hz)

    def targets(self) -> Targets:
        """Latents and true groups of every record, without drawing a signal."""
        people = self._people
        drawn = [
            plan_record(*people.heart(row), self._random("record", row + 1)).latents for row in range(self.n_records)
        ]
        latents = np.stack(drawn)
        latents = (latents - latents.mean(axis=0)) / (latents.std(axis=0) + 1e-9)
        truth = people.severity > 0
        groups = [truth[:, [CODES.index(code) for code in codes]].any(axis=1) for codes in _GROUPS.values()]
        return Targets(
            ecg_id=np.arange(1, self.n_records + 1),
            latent_names=LATENTS,
            latents=latents.astype(np.float32),
            group_names=tuple(_GROUPS),
            groups=np.stack(groups, axis=1),
        )

    @cached_property
    def _people(self) -> "_People":
        return _draw_people(self.n_records, self._random("people"), seeds.derive("synthetic", self.seed, "folds"))

    def _random(self, *purpose: str | int) -> np.random.Generator:
        return np.random.default_rng(seeds.derive("synthetic", self.seed, *purpose))


@dataclass(frozen=True)
class _People:
    """Who the records belong to; ``severity`` is 0 where the record does not show the condition."""

    patient: Int[np.ndarray, "record"]
    fold: Int[np.ndarray, "record"]
    severity: Float32[np.ndarray, "record code"]
    turn_rad: Float32[np.ndarray, "patient 3"]
    gain: Float32[np.ndarray, "patient"]

    def heart(self, row: int) -> tuple[dict[str, float], Anatomy]:
        present = np.flatnonzero(self.severity[row])
        patient = self.patient[row]
        severities = {CODES[code]: float(self.severity[row, code]) for code in present}
        return severities, Anatomy(self.turn_rad[patient], float(self.gain[patient]))


def _draw_people(n_records: int, random: np.random.Generator, fold_seed: int) -> _People:
    n_each = random.choice([1, 2, 3, 4], p=[0.89, 0.08, 0.02, 0.01], size=n_records)
    patient = np.repeat(np.arange(n_records), n_each)[:n_records]
    n_patients = int(patient[-1]) + 1
    chronic = _conditions(n_patients, random)
    severity = np.where(chronic, random.uniform(0.25, 1, chronic.shape), 0)[patient].astype(np.float32)
    rank = np.empty(n_patients, np.int64)
    rank[balanced_order(chronic, seed=fold_seed)] = np.arange(n_patients)
    fold = 1 + rank * TEST_FOLD // n_patients
    turn, gain = random.normal(0, 0.20, (n_patients, 3)), np.exp(random.normal(0, 0.18, n_patients))
    return _People(patient, fold[patient], severity, turn.astype(np.float32), gain.astype(np.float32))


def _conditions(n_patients: int, random: np.random.Generator) -> Bool[np.ndarray, "patient code"]:
    share = np.array([_STATEMENTS[code][0] for code in CODES])
    ill = random.random(n_patients) < 0.62
    has = (random.random((n_patients, len(CODES))) < share / 0.62) & ill[:, None]
    for codes in (_RHYTHMS, *_EXCLUSIVE):
        columns = [CODES.index(code) for code in codes]
        has[:, columns] &= np.cumsum(has[:, columns], axis=1) == 1
    rhythms = [CODES.index(code) for code in _RHYTHMS]
    has[:, CODES.index("SR")] = ~has[:, rhythms].any(axis=1)
    ailing = [position for position, code in enumerate(CODES) if _STATEMENTS[code][1] != "R"]
    has[:, CODES.index("NORM")] = ~has[:, ailing].any(axis=1)
    return has


def _statements() -> tuple[Statement, ...]:
    return tuple(
        Statement(code, kind in "DB", kind in "FB", kind == "R", superclass, subclass)
        for code, (_, kind, subclass, superclass) in _STATEMENTS.items()
    )


def _electrodes(random: np.random.Generator) -> Float32[np.ndarray, "8 3"]:
    """Dower's matrix as this chest has it: each lead a little louder or softer, chest electrodes a little astray."""
    gain = 1 + random.uniform(-0.08, 0.08, (8, 1))
    mixed = DOWER.copy()
    astray = random.uniform(-0.15, 0.15, (5, 1))
    mixed[3:] += astray * (DOWER[2:-1] - DOWER[3:])
    return np.asarray(gain * mixed, np.float32)


def _disturbance(noise_mv: float, times_s: np.ndarray, random: np.random.Generator) -> Float32[np.ndarray, "8 sample"]:
    """Wander, white noise, mains hum and, now and then, the jump of a loose electrode, on the eight measured leads."""
    fs_hz = 1 / float(times_s[1])
    white = random.standard_normal((8, len(times_s)), np.float32) * np.float32(noise_mv)
    rates_hz = random.uniform(0.05, 0.45, 2).astype(np.float32)
    phases = random.uniform(0, 2 * np.pi, (8, 2)).astype(np.float32)
    sizes = 0.05 * np.exp(random.normal(0, 0.6)) * random.standard_normal((8, 2))
    angles = 2 * np.pi * rates_hz[:, None] * times_s
    wander = (sizes * np.cos(phases)) @ np.sin(angles) + (sizes * np.sin(phases)) @ np.cos(angles)
    hum_mv = 0.006 * np.exp(random.normal(0, 0.8)) * random.standard_normal((8, 1))
    hum = hum_mv * np.sin(2 * np.pi * 50.0 * times_s + random.uniform(0, 2 * np.pi)) if fs_hz > 100 else 0
    if random.random() < 0.10:
        start = random.uniform(0, DURATION_S)
        lead = random.integers(8)
        white[lead] += np.where(times_s > start, random.normal(0, 0.4) * np.exp(-(times_s - start) / 0.4), 0)
    return np.asarray(white + wander + hum, np.float32)
