"""Whatever a file says, the answer is a result or one line of ours: no traceback, no hang.

``make fuzz`` takes a minute for each, eleven in all; ``make test`` takes one round of each.
"""

import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch
from damage import damaged
from hypothesis import strategies as st
from safetensors.torch import save as to_safetensors
from sample_outcome import result
from torch import nn

from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.record import read_record
from ablate.model.checkpoint import load_weights
from ablate.model.inspection import inspect
from ablate.store.slot import AgentCard, Claim, Slot, SlotState
from ablate.study.file import load_spec
from ablate.study.plan import plan
from ablate.train.checkpoint import Checkpoint, Saved
from ablate.worker.spool import Spool, SpooledResult

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.mark.parametrize("study", ["sd_vs_lp", "search", "data_efficiency"])
def test_study_file(patience: Any, tmp_path: Path, study: str) -> None:
    path = tmp_path / "study.toml"

    def use(content: bytes) -> None:
        path.write_bytes(content)
        spec = load_spec(str(path))
        if spec.budget.most_trials + spec.budget.replicates < 1000:  # a mistake of that kind is not ours to find
            assert plan(spec)

    assert patience.spend(damaged((STUDIES / f"{study}.toml").read_bytes()), use)


def test_override(patience: Any, tmp_path: Path) -> None:
    keys = [
        "budget.replicates",
        "context.data_fraction",
        "fixed.ft_epochs",
        "space.ft_lr",
        "arms.ft",
        "data",
        "",
        "a.b.c",
    ]
    texts = st.tuples(st.sampled_from(keys), st.text(max_size=30)).map(lambda pair: "=".join(pair).encode())
    assert patience.spend(texts, lambda given: load_spec("sd_vs_lp", overrides=[given.decode()]))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_encoder_checkpoint(patience: Any, tmp_path: Path, suffix: str) -> None:
    network, path = nn.Sequential(nn.Conv1d(2, 3, 5), nn.BatchNorm1d(3)), tmp_path / f"weights{suffix}"
    buffer = io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, buffer)
    whole = to_safetensors(network.state_dict()) if suffix == ".safetensors" else buffer.getvalue()

    def use(content: bytes) -> None:
        path.write_bytes(content)
        load_weights(network, path)
        inspect(path)

    assert patience.spend(damaged(whole), use)


def test_header(patience: Any, ptbxl: Path, tmp_path: Path) -> None:
    stem = ptbxl / "records100" / "00000" / "00001_lr"
    (tmp_path / "00001_lr.dat").write_bytes(stem.with_suffix(".dat").read_bytes())

    def use(content: bytes) -> None:
        (tmp_path / "00001_lr.hea").write_bytes(content)
        signal = read_record(tmp_path / "00001_lr", fs_hz=100)
        assert signal.shape == (12, 1000)
        assert np.isfinite(signal).all()

    assert patience.spend(damaged(stem.with_suffix(".hea").read_bytes()), use)


@pytest.mark.parametrize("table", ["ptbxl_database.csv", "scp_statements.csv"])
def test_table(patience: Any, ptbxl: Path, tmp_path: Path, table: str) -> None:
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        (tmp_path / name).write_bytes((ptbxl / name).read_bytes())
    (tmp_path / "records100").symlink_to(ptbxl / "records100")

    def use(content: bytes) -> None:
        (tmp_path / table).write_bytes(content)
        source = PtbXl(tmp_path)
        assert len(source.records().ecg_id)
        source.read(1, 100)

    assert patience.spend(damaged((ptbxl / table).read_bytes()), use)


def test_trial_checkpoint(patience: Any, tmp_path: Path) -> None:
    path = tmp_path / "trial.ckpt"
    written = Checkpoint(path, "trial", [])
    written.write(Saved(facts={"epoch": 3}, tensors={"weight": torch.ones(2, 3)}))

    def use(content: bytes) -> None:
        path.write_bytes(content)
        checkpoint = Checkpoint(path, "trial", [])
        saved = checkpoint.load()
        assert saved is not None or checkpoint.notes

    assert patience.spend(damaged(path.read_bytes()), use)


def test_spooled_result(patience: Any, tmp_path: Path) -> None:
    slot = Slot(
        id=1, key="k", phase="search", arm="ft", context={}, index=0, generation=0, chain="ft", seed=1, params=None,
        state=SlotState.LEASED, attempts=1, failures=0, reason=None,
    )  # fmt: skip
    claim = Claim(
        study="s",
        study_id=str(uuid4()),
        nonce=str(uuid4()),
        slot=slot,
        token=1,
        agent=AgentCard(id="a", host="h", pid=1),
        lease_s=60.0,
    )
    with Spool(tmp_path / "spool", agent="dead") as spool:
        path = spool.put(SpooledResult(claim, result()))
        whole = path.read_bytes()

    def use(content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        with Spool(tmp_path / "spool", agent="next") as spool:
            found = [entry for _, entry in spool.orphans()]
        assert found == [] or content == whole

    assert patience.spend(damaged(whole), use)
