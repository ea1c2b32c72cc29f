"""The audit hook stays for the life of a process: each of these has a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path
from subprocess import CompletedProcess

from ablate.ecg.cohort import Cohort


def _python(code: str, *arguments: Path) -> CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], capture_output=True, text=True, check=False
    )


OPENINGS = """
    import os, sys, shutil
    import numpy as np
    from pathlib import Path
    from ablate.ecg.seal import Permit, forbid_sealed_reads, permitted
    from ablate.errors import SealedError
    path = Path(sys.argv[1])
    ways = {
        "load": lambda: np.load(path),
        "map": lambda: np.load(path, mmap_mode="r"),
        "read": lambda: path.read_bytes(),
        "os.open": lambda: os.close(os.open(path, os.O_RDONLY)),
        "bytes": lambda: open(os.fsencode(path), "rb").close(),
        "copy": lambda: shutil.copy(path, path.with_name("copy.npy")),
        "link": lambda: path.with_name("link.npy").read_bytes(),
    }
    path.with_name("link.npy").symlink_to(path)
    for way in ways.values():
        way()
    forbid_sealed_reads()
    forbid_sealed_reads()
    for name, way in ways.items():
        try:
            way()
        except SealedError as error:
            assert str(path.parent) in str(error)
        else:
            sys.exit(f"{name} went through")
    with permitted(Permit("study", "slot")):
        for way in ways.values():
            way()
    try:
        ways["load"]()
    except SealedError:
        print("sealed again")
"""


def test_no_way_of_opening_gets_past_the_seal_without_a_permit(cohort: Cohort) -> None:
    done = _python(OPENINGS, cohort.folder / "sealed.npy")
    assert done.stderr == ""
    assert done.stdout == "sealed again\n"
    for name in ("link.npy", "copy.npy"):
        (cohort.folder / name).unlink()


def test_a_search_opens_the_cohort_and_loads_tasks_under_the_seal(cohort: Cohort) -> None:
    code = """
        import sys
        from pathlib import Path
        from ablate.ecg.preparation import open_cohort
        from ablate.ecg.seal import Permit, forbid_sealed_reads
        from ablate.ecg.split import load_task
        forbid_sealed_reads()
        cohort = open_cohort(Path(sys.argv[1]))
        assert load_task(cohort, "all").test_labels is None
        print(len(load_task(cohort, "all", permit=Permit("study", "slot")).test_labels))
    """
    done = _python(code, cohort.folder)
    assert done.stderr == ""
    assert int(done.stdout) > 0


def test_the_metadata_of_ptbxl_are_sealed_too(tmp_path: Path) -> None:
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id\n")
    code = """
        import sys
        from ablate.ecg.seal import forbid_sealed_reads
        forbid_sealed_reads()
        open(sys.argv[1])
    """
    done = _python(code, tmp_path / "ptbxl_database.csv")
    assert "SealedError" in done.stderr
