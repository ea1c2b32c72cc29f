"""Encoders from a user's file: tried before anything trains, with one line for each thing that is wrong."""

import re
from pathlib import Path

import pytest

from ablate.errors import SpecError
from ablate.model.catalogue import EncoderSpec, encoder_digest
from ablate.model.encoder import load_encoder
from ablate.model.encoder_check import faults

DOCS = Path(__file__).parents[3] / "docs"
GOOD = (DOCS / "own_encoder.py").read_text()
BLOCK = "lambda branch: torch.relu(self.block(branch))"


def written(folder: Path, *changes: tuple[str, str]) -> EncoderSpec:
    """The documents' example with changes, as a study names it."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.py").write_text(text)
    return EncoderSpec(f"{folder / 'mine.py'}:make", "random")


def said_of(spec: EncoderSpec, *, n_leads: int = 12, fs_hz: int = 100, drops_paths: bool = True) -> list[str]:
    return faults(spec, fs_hz=fs_hz, n_leads=n_leads, n_samples=500, drops_paths=drops_paths)


def test_the_example_of_the_documents_is_good_and_is_what_they_show(tmp_path: Path) -> None:
    assert said_of(written(tmp_path)) == []
    (shown,) = re.findall(r"```python\n(import torch\n.*?)```", (DOCS / "own_data.md").read_text(), re.DOTALL)
    assert shown == GOOD.partition("\n\n")[2]
    assert sum(bool(line.strip()) for line in shown.splitlines()) <= 20


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("x = torch.relu(self.first(x))", "x = torch.relu(self.first(x.mul_(2)))"), "changes its input"),
        ((".mean(2)", ".mean(2) / 0"), "not finite"),
        ((".mean(2)", ".mean((0, 2))"), "shape (32,)"),
        ((".mean(2)", ".mean(2) + torch.rand(1)"), "each time in eval mode"),
        ((".mean(2)", ".mean(2) + x.mean()"), "for a record alone"),
        ((BLOCK, "lambda branch: torch.relu(self.block(branch)).detach()"), "no gradient reaches stage 2 of 2"),
        ((", list(self.block.parameters())]", "]"), "stages() names block.weight 0 times; expected once"),
        (("return [self.drop_path]", "return []"), "has no residual blocks that can be dropped"),
        (("nn.Conv1d(12, 32", "nn.Conv1d(6, 32"), "fails on records of 12 leads x 500 samples"),
        (("    def stages(self)", "    def layers(self)"), "has no stages"),
        (("make = Own", "make = 3"), "names a int; expected a function"),
        (("make = Own", "made = Own"), "has no make; expected FILE.py:FUNCTION"),
        (("import torch\n", "import torch\nimport not_there\n"), "No module named 'not_there'; mend it"),
        (("make = Own", "make = Own)"), "SyntaxError"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_trains(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    line, *_ = said_of(written(tmp_path, change))
    assert said in line
    assert "\n" not in line


def test_other_records_than_it_takes_are_refused(tmp_path: Path) -> None:
    spec = written(tmp_path)
    assert "12" in said_of(spec, n_leads=6)[0]
    assert "100" in said_of(spec, fs_hz=500)[0]
    assert said_of(written(tmp_path, ("return [self.drop_path]", "return []")), drops_paths=False) == []


def test_an_edited_file_is_another_encoder(tmp_path: Path) -> None:
    before = encoder_digest(written(tmp_path))
    assert encoder_digest(written(tmp_path)) == before
    after = written(tmp_path, ("nn.Conv1d(12, 32, 15", "nn.Conv1d(12, 32, 17"))
    assert encoder_digest(after) != before
    assert next(load_encoder(after).parameters()).shape[-1] == 17  # type: ignore[attr-defined]


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"there is no file .*none\.py; expected FILE\.py:FUNCTION"):
        load_encoder(EncoderSpec(f"{tmp_path / 'none.py'}:make", "random"))
