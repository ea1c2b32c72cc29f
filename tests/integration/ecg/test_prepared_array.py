import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wfdb_folder import write_record

from ablate.ecg.preparation import open_cohort, prepare, prepared_folder
from ablate.ecg.preprocessing import ecgfounder_filter, resample, z_score
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError
from ablate.study.cohort import prepare_cohort
from ablate.study.file import load_spec


def _whole(folder: Path) -> dict[str, bytes]:
    """Content of every file of a prepared folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("preprocessing", ["none", "ecgfounder"])
def test_rows_are_the_records_filtered_and_scaled(pristine: Path, tmp_path: Path, preprocessing: str) -> None:
    source = PtbXl(pristine)
    cohort = open_cohort(prepare(source, preprocessing=preprocessing, cache_dir=tmp_path))
    assert cohort.signals.dtype == np.float16
    assert cohort.signals.shape == (40, 12, 1000)
    for row in (0, 20, 39):
        signal = source.read(int(cohort.ecg_id[row]), 100)
        expected = z_score(ecgfounder_filter(signal, 100) if preprocessing == "ecgfounder" else signal)
        assert np.array_equal(cohort.signals[row], expected.astype(np.float16))


def test_test_fold_comes_last_and_its_statements_lie_elsewhere(pristine: Path, tmp_path: Path) -> None:
    source = PtbXl(pristine)
    records = source.records()
    cohort = open_cohort(prepare(source, cache_dir=tmp_path))
    assert (cohort.fold[: cohort.n_open] != 10).all()
    assert (cohort.fold[cohort.n_open :] == 10).all()
    assert sorted(cohort.ecg_id) == sorted(records.ecg_id)
    position = {ecg_id: row for row, ecg_id in enumerate(records.ecg_id.tolist())}
    order = [position[ecg_id] for ecg_id in cohort.ecg_id.tolist()]
    assert np.array_equal(cohort.patient_id, records.patient_id[order])
    assert np.array_equal(cohort.fold, records.fold[order])
    expected = records.statements[order]
    assert np.array_equal(cohort.statements[: cohort.n_open], expected[: cohort.n_open])
    assert not cohort.statements[cohort.n_open :].any()
    assert np.array_equal(np.load(cohort.folder / "sealed.npy"), expected[cohort.n_open :])


@pytest.mark.parametrize(("wanted", "stored"), [(500, 100), (100, 500)])
def test_the_other_rate_is_resampled_and_said(pristine: Path, tmp_path: Path, wanted: int, stored: int) -> None:
    source = PtbXl(pristine, files_hz=stored)
    cohort = open_cohort(prepare(source, fs_hz=wanted, cache_dir=tmp_path))
    assert cohort.resampled_from_hz == stored
    assert cohort.signals.shape == (40, 12, 10 * wanted)
    expected = z_score(resample(source.read(int(cohort.ecg_id[3]), stored), from_hz=stored, fs_hz=wanted))
    assert np.array_equal(cohort.signals[3], expected.astype(np.float16))


def test_processes_change_nothing_but_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.ecg.row_filler._N_WORTHWHILE", 100)
    source = Synthetic(300, 1)
    one = prepare(source, cache_dir=tmp_path / "one", n_processes=1)
    two = prepare(source, cache_dir=tmp_path / "two", n_processes=2)
    assert one.name == two.name
    assert _whole(one) == _whole(two)


def test_a_second_call_reads_no_record(ptbxl: Path, tmp_path: Path) -> None:
    calls = []
    first = prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays", progress=lambda *done: calls.append(done))
    assert calls[-1] == (40, 40)
    calls.clear()
    stamps = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    second = prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays", progress=lambda *done: calls.append(done))
    assert second == first
    assert calls == []
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == stamps


def test_what_decides_the_content_decides_the_folder(pristine: Path, tmp_path: Path) -> None:
    source = PtbXl(pristine)
    folders = {
        prepared_folder(source, fs_hz=fs_hz, preprocessing=preprocessing, cache_dir=tmp_path, damaged=damaged)
        for fs_hz in (100, 500)
        for preprocessing in ("none", "ecgfounder")
        for damaged in ("raise", "skip")
    }
    assert len(folders) == 8
    assert (
        prepared_folder(PtbXl(pristine, files_hz=500), fs_hz=100, preprocessing="none", cache_dir=tmp_path)
        not in folders
    )


def test_a_changed_record_is_another_folder_and_another_digest(ptbxl: Path, tmp_path: Path) -> None:
    before = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    folder = ptbxl / "records100/00000"
    for suffix in (".hea", ".dat"):
        content = (folder / f"00009_lr{suffix}").read_bytes().replace(b"00009", b"00010")
        (folder / f"00010_lr{suffix}").write_bytes(content)
    after = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    assert after.folder != before.folder
    assert after.digest != before.digest


def test_digest_is_that_of_the_content_not_of_the_files_times(ptbxl: Path, tmp_path: Path) -> None:
    before = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    os.utime(ptbxl / "records100/00000/00009_lr.dat", ns=(10**18, 10**18))
    after = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    assert after.folder != before.folder
    assert after.digest == before.digest


DAMAGE = {
    "signals cut short": ("signals.npy", lambda content: content[:-1000]),
    "signals blank at the end": ("signals.npy", lambda content: content[:-9000] + bytes(9000)),
    "one statement changed": ("statements.npy", lambda content: content[:-1] + b"\x01"),
    "folds damaged": ("records.npz", lambda content: content[:300] + b"????" + content[304:]),
    "sealed labels cut short": ("sealed.npy", lambda content: content[:-1]),
    "meta is no JSON": ("meta.json", lambda content: content[:100]),
    "meta changed": ("meta.json", lambda content: content.replace(b'"fs_hz": 100', b'"fs_hz": 500')),
    "another version": ("meta.json", lambda content: content.replace(b'"format": 2', b'"format": 0')),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_noticed_and_built_again(tmp_path: Path, damage: str) -> None:
    source = Synthetic(60, 4)
    folder = prepare(source, cache_dir=tmp_path)
    whole = _whole(folder)
    name, change = DAMAGE[damage]
    changed = change(whole[name])
    assert changed != whole[name]
    (folder / name).write_bytes(changed)
    with pytest.raises(DataError, match="ablate data prepare"):
        open_cohort(folder)
    assert prepare(source, cache_dir=tmp_path) == folder
    assert _whole(folder) == whole


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    folder = prepare(Synthetic(30, 4), cache_dir=tmp_path)
    (folder / "sealed.npy").unlink()
    with pytest.raises(DataError, match=r"sealed.npy: missing"):
        open_cohort(folder)
    with pytest.raises(DataError, match="no prepared arrays here"):
        open_cohort(tmp_path)


def test_nothing_half_written_stays(ptbxl: Path, tmp_path: Path) -> None:
    (ptbxl / "records100/00000/00033_lr.dat").write_bytes(b"")
    with pytest.raises(DataError, match=r"00033_lr.dat: has 0 bytes"):
        prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays")
    assert [path for path in (tmp_path / "arrays").iterdir() if path.suffix != ".lock"] == []


def test_a_damaged_record_found_by_a_pool_is_the_same_one_line(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablate.ecg.row_filler.N_RECORDS", 10)
    monkeypatch.setattr("ablate.ecg.row_filler._N_WORTHWHILE", 10)
    (ptbxl / "records100/00000/00033_lr.dat").unlink()
    with pytest.raises(DataError, match=r"00033_lr.dat: cannot be read"):
        prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays", n_processes=2)


def test_damaged_records_can_be_left_out_with_their_reasons(ptbxl: Path, tmp_path: Path) -> None:
    whole = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    (ptbxl / "records100/00000/00033_lr.dat").unlink()
    (ptbxl / "records100/00000/00038_lr.dat").write_bytes(b"")
    cohort = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays", damaged="skip"))
    assert set(cohort.skipped) == {33, 38}
    assert "00033_lr.dat: cannot be read" in cohort.skipped[33]
    assert "has 0 bytes" in cohort.skipped[38]
    kept = ~np.isin(whole.ecg_id, [33, 38])
    assert np.array_equal(cohort.ecg_id, whole.ecg_id[kept])
    assert np.array_equal(cohort.signals, whole.signals[kept])
    assert np.array_equal(cohort.statements, whole.statements[kept])
    assert cohort.digest != whole.digest
    assert (load_task(whole, "rhythm").n_skipped, load_task(cohort, "rhythm").n_skipped) == (0, 2)


def test_a_study_leaves_damaged_records_out_where_its_file_says_so(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    (ptbxl / "records100/00000/00033_lr.dat").unlink()
    with pytest.raises(DataError, match=r"00033_lr.dat: cannot be read"):
        prepare_cohort(load_spec("sd_vs_lp_ptbxl"), data_dir=ptbxl)
    skipping = load_spec("sd_vs_lp_ptbxl", overrides=["data.skip_damaged=true"])
    assert set(open_cohort(prepare_cohort(skipping, data_dir=ptbxl)).skipped) == {33}


def test_nobody_else_may_read_the_test_folds_labels(pristine: Path, tmp_path: Path) -> None:
    folder = prepare(PtbXl(pristine), cache_dir=tmp_path)
    assert (folder / "sealed.npy").stat().st_mode & 0o777 == 0o600


def test_flat_leads_are_kept_and_noted_flat_records_are_damaged(ptbxl: Path, tmp_path: Path) -> None:
    signal = Synthetic(40, 5).read(7, 100)
    signal[[2, 9]] = 0
    write_record(ptbxl / "records100/00000/00007_lr", signal, 100)
    cohort = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    noted = {ecg_id: leads for ecg_id, leads in cohort.flat_leads.items() if ecg_id == 7}
    assert noted == {7: ("III", "V4")}
    assert 7 in cohort.ecg_id
    write_record(ptbxl / "records100/00000/00007_lr", np.full_like(signal, 0.2), 100)
    with pytest.raises(DataError, match="record 7 is flat in every lead"):
        prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays")


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        ((1, 0, 2, 3, 4, 5), ("I + III = II",)),
        ((0, 2, 1, 3, 4, 5), ("I + III = II",)),
        ((0, 1, 3, 2, 4, 5), ("I + III = II", "aVR + aVL + aVF = 0")),
    ],
)
def test_swapped_limb_leads_are_noted(
    ptbxl: Path, tmp_path: Path, order: tuple[int, ...], broken: tuple[Any, ...]
) -> None:
    signal = Synthetic(40, 5).read(7, 100)
    write_record(ptbxl / "records100/00000/00007_lr", signal[[*order, *range(6, 12)]], 100)
    cohort = open_cohort(prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays"))
    assert cohort.odd_leads == {7: broken}
    assert 7 in cohort.ecg_id


def test_all_records_damaged_is_an_error(ptbxl: Path, tmp_path: Path) -> None:
    for path in (ptbxl / "records100/00000").glob("*.dat"):
        path.unlink()
    with pytest.raises(DataError, match=r"every record is damaged; the first: .*lr.dat"):
        prepare(PtbXl(ptbxl), cache_dir=tmp_path / "arrays", damaged="skip")


@pytest.mark.parametrize(("choice", "message"), [({"fs_hz": 5}, "fs_hz = 5"), ({"preprocessing": "x"}, "'x'")])
def test_an_impossible_choice_is_an_error(tmp_path: Path, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(Synthetic(5, 0), cache_dir=tmp_path, **choice)


BUILDER = """
    import sys
    from pathlib import Path
    from ablate.ecg.preparation import prepare
    from ablate.ecg.synthetic import Synthetic
    from ablate.errors import DataError

    if __name__ == "__main__":
        built = []
        try:
            folder = prepare(Synthetic(150, 9), cache_dir=Path(sys.argv[1]), progress=lambda *done: built.append(done))
        except DataError as error:
            sys.exit(f"{error} [{len(built)} chunks done]")
        print(len(built) > 0, folder.name)
"""


@pytest.fixture
def builder(tmp_path: Path) -> Path:
    path = tmp_path / "builder.py"
    path.write_text(textwrap.dedent(BUILDER))
    return path


def test_of_processes_at_once_one_builds_and_all_get_it(builder: Path, tmp_path: Path) -> None:
    going = [
        subprocess.Popen([sys.executable, builder, tmp_path / "arrays"], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [process.communicate()[0].split() for process in going]
    assert [process.returncode for process in going] == [0] * 4
    assert sorted(built for built, _ in answers) == ["False"] * 3 + ["True"]
    assert len({name for _, name in answers}) == 1


def test_a_killed_builder_leaves_nothing_in_the_way_and_its_remains_go(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from ablate.ecg.preparation import prepare
        from ablate.ecg.synthetic import Synthetic

        def die(*done):
            os.kill(os.getpid(), signal.SIGKILL)

        prepare(Synthetic(150, 9), cache_dir=Path(sys.argv[1]), progress=die)
    """
    arrays = tmp_path / "arrays"
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program), arrays], check=False)
    assert killed.returncode == -9
    assert any(path.is_dir() for path in arrays.iterdir())
    folder = prepare(Synthetic(150, 9), cache_dir=arrays)
    assert [path for path in arrays.iterdir() if path.is_dir()] == [folder]


@pytest.mark.parametrize(("options", "message"), [("rw", "no space left to write"), ("ro", "cannot write")])
def test_a_full_or_read_only_disk_is_one_line_and_leaves_nothing(
    small_disk: Callable[..., Any], builder: Path, tmp_path: Path, options: str, message: str
) -> None:
    (tmp_path / "disk").mkdir()
    done = small_disk(sys.executable, builder, tmp_path / "disk", options)
    assert done.returncode == 1
    assert message in done.stderr
    assert "[0 chunks done]" in done.stderr  # noticed at once, not after the minutes that filling the disk takes
    assert str(tmp_path / "disk") in done.stderr
    assert done.stderr.count("\n") == 1


def test_opening_maps_and_does_not_read(tmp_path: Path) -> None:
    cohort = open_cohort(prepare(Synthetic(60, 4), cache_dir=tmp_path))
    assert isinstance(cohort.signals, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        cohort.signals[0, 0, 0] = 1
    assert json.loads((cohort.folder / "meta.json").read_text())["skipped"] == {}
