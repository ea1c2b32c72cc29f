"""What is seen of a study's networks before its first slot."""

import pytest

from ablate.cli.subject_check import check_subjects
from ablate.errors import SpecError
from ablate.store import artifact
from ablate.study.spec import Spec

RAW = {
    "name": "s",
    "question": "?",
    "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
    "encoder": {"name": "net1d_small", "weights": "random"},
    "space": {"ft_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    "arms": {"ft": {}},
    "budget": {"replicates": 2},
}


def test_a_network_that_the_store_cannot_keep_is_refused_where_it_shall(monkeypatch: pytest.MonkeyPatch) -> None:
    keeping, plain = Spec.model_validate({**RAW, "keep": "best"}), Spec.model_validate(RAW)
    check_subjects(keeping)
    monkeypatch.setattr(artifact, "MOST_WEIGHTS_BYTES", 500_000)
    with pytest.raises(
        SpecError, match=r"weights of net1d_small take 78\d,\d{3} bytes, the store keeps 500,000 of one"
    ):
        check_subjects(keeping)
    check_subjects(plain)


def test_what_is_kept_is_part_of_the_study_only_where_it_is_said() -> None:
    keeping, plain = Spec.model_validate({**RAW, "keep": "best"}), Spec.model_validate(RAW)
    assert "keep" not in plain.document()
    assert Spec.model_validate({**RAW, "keep": "none"}).digest() == plain.digest() != keeping.digest()
    assert Spec.from_document(keeping.document()) == keeping
