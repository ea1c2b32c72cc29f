"""The slots that every variant fills: the four arms of sd_vs_lp with fixed params, as a study and as a list.

The study is for ``ablate``, the list for the scripts; the list is made from the study's own plan.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate import seeds
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.split import fraction, load_task
from ablate.model.catalogue import CATALOGUE, EncoderSpec, weights_file
from ablate.study.cohort import source_of
from ablate.study.confirmation import choose
from ablate.study.file import load_spec
from ablate.study.plan import plan
from ablate.study.spec import Spec
from ablate.train.params import Params

ENCODER = "net1d_small"
ARMS = ("ft", "sd", "lp", "lp_sd")

# Nothing is searched: each arm has one value for everything, so a study of it is its confirmation only.
STUDY = """
question = "How long do the same slots take?"

[data]
source = "ptbxl"
task = "superdiagnostic"
preprocessing = "{preprocessing}"

[encoder]
name = "net1d_small"
weights = "{weights}"

[fixed]
ft_epochs = {ft_epochs}
batch_size = 64
probe_lr = 1e-2

[space]
drop_path_rate = {{ low = 0.0, high = 0.5 }}
probe_epochs = {{ low = 0, high = 40 }}
ft_lr = {{ low = 1e-4, high = 3e-3, log = true }}
head_lr_ratio = {{ low = 1.0, high = 30.0, log = true }}

[arms]
ft = {{ drop_path_rate = 0.0, probe_epochs = 0, ft_lr = 1e-3, head_lr_ratio = 3.0 }}
sd = {{ drop_path_rate = 0.2, probe_epochs = 0, ft_lr = 1e-3, head_lr_ratio = 3.0 }}
lp = {{ drop_path_rate = 0.0, probe_epochs = {probe_epochs}, ft_lr = 5e-4, head_lr_ratio = 1.0 }}
lp_sd = {{ drop_path_rate = 0.2, probe_epochs = {probe_epochs}, ft_lr = 5e-4, head_lr_ratio = 1.0 }}

[context]
data_fraction = [{data_fraction}]

[budget]
replicates = {replicates}
"""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done on one cohort.

    Attributes:
        folder: PTB-XL, or a cohort in its layout.
        n_slots: a multiple of the four arms.
        probe_epochs: of the two arms that probe.
    """

    name: str
    folder: Path
    weights: str
    data_fraction: float
    preprocessing: str
    n_slots: int
    ft_epochs: int
    probe_epochs: int


def write_study(task: Task, file: Path) -> None:
    values = asdict(task)
    file.write_text(STUDY.format(**values, replicates=task.n_slots // len(ARMS)))


def slot_list(
    task: Task, study: Path, *, cache: Path, device: str = "cpu", n_processes: int | None = None
) -> dict[str, Any]:
    """What a script is told of the study's own plan; records are prepared in ``cache``, which warms the page cache."""
    spec = load_spec(str(study))
    planned = []
    for slot in plan(spec):
        choice = choose(spec, slot.arm, slot.context, None)
        assert choice is not None
        planned.append((slot.key, slot.seed, choice["params"]))
    os.environ["ABLATE_DATA"] = str(task.folder)
    return described(spec, planned, cache=cache, device=device, n_processes=n_processes)


def described(
    spec: Spec,
    planned: Sequence[tuple[str, int, Mapping[str, Any]]],
    *,
    cache: Path,
    device: str = "cpu",
    n_processes: int | None = None,
) -> dict[str, Any]:
    """What a script is told of slots with these keys, seeds and params; PTB-XL is where ``ABLATE_DATA`` says."""
    source = source_of(spec)
    assert isinstance(source, PtbXl)
    n_processes = n_processes or os.cpu_count() or 1
    folder = prepare(source, preprocessing=spec.data.preprocessing, cache_dir=cache, n_processes=n_processes)
    cohort = open_cohort(folder)
    data = load_task(cohort, spec.data.task)
    found = []
    for key, seed, given in planned:
        params = Params.from_dict(given)
        chosen = fraction(data, data_fraction=params.data_fraction, seed=seeds.derive(seed, "subset"))
        train_ids = cohort.ecg_id[data.train_rows[chosen]].tolist()
        found.append({"key": key, "seed": seed, "params": params.document(), "train_ids": train_ids})
    return {
        "folder": str(source.folder),
        "preprocessing": spec.data.preprocessing,
        "weights": str(weights_file(EncoderSpec(ENCODER, spec.encoder.weights))),
        "shape": asdict(CATALOGUE[ENCODER].shape),
        "device": device,
        "n_processes": n_processes,
        "slots": found,
    }
