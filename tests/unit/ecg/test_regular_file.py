"""Names that come out of files."""

from pathlib import Path

import pytest

from ablate.ecg.regular_file import check_regular, read_regular
from ablate.errors import DataError


def test_a_name_with_a_zero_byte_is_a_line_of_ours(tmp_path: Path) -> None:
    for read in (read_regular, check_regular):
        with pytest.raises(DataError, match=r"a\\x00b.*is no name of a file") as caught:
            read(tmp_path / "a\0b", most_bytes=1, remedy="fetch it again")
        assert "\0" not in str(caught.value)
