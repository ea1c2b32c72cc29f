"""Ten folds for records that come without any: patients whole, classes spread evenly, the same for the same seed."""

import numpy as np
from jaxtyping import Bool, Int

from ablate import seeds
from ablate.ecg.source import TEST_FOLD


def make_folds(
    patient_id: Int[np.ndarray, "record"], labels: Bool[np.ndarray, "record label"], *, seed: int
) -> Int[np.ndarray, "record"]:
    """Fold of each record, 1 to 10.

    Patients with the rarest labels are dealt out first, each to the fold that lacks most of their rarest label, then
    most records. What a record's fold is depends on patients and labels, not on the order of the table.

    Source: iterative stratification, Sechidis et al., ECML PKDD 2011, with whole patients in place of records.
    """
    random = np.random.default_rng(seeds.derive("folds", seed))
    patients, patient_of = np.unique(patient_id, return_inverse=True)
    every_record = np.column_stack([labels, np.ones(len(labels), bool)])  # to be there is the commonest label
    n_of = np.zeros((len(patients), every_record.shape[1]), np.int64)
    np.add.at(n_of, patient_of, every_record)
    n_all = n_of.sum(axis=0)
    rarest = np.array([_rarest(own, n_all) for own in n_of])
    order = np.lexsort((random.random(len(patients)), -n_of[:, -1], n_all[rarest]))
    lacking = np.repeat(n_all[None, :] / TEST_FOLD, TEST_FOLD, axis=0)
    fold = np.empty(len(patients), np.int64)
    for patient in order:
        coin = random.random(TEST_FOLD)
        fold[patient] = np.lexsort((coin, lacking[:, -1], lacking[:, rarest[patient]]))[-1]
        lacking[fold[patient]] -= n_of[patient]
    return np.asarray(fold[patient_of] + 1)


def _rarest(own: Int[np.ndarray, "label"], n_all: Int[np.ndarray, "label"]) -> int:
    there = np.flatnonzero(own)
    return int(there[np.argmin(n_all[there])])
