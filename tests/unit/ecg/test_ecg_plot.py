from pathlib import Path

import numpy as np
import pytest

from ablate.ecg.ecg_plot import PlotFacts, plot_facts, plot_figure, write_figure
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError

SOURCE = Synthetic(20, 2)


def _facts(ecg_id: int = 4) -> PlotFacts:
    return plot_facts(SOURCE, SOURCE.records(), ecg_id=ecg_id)


def test_strips_are_the_record_lead_by_lead() -> None:
    facts, signal = _facts(), SOURCE.read(4, 100)
    assert " ".join(strip.lead for strip in facts.strips) == "I aVR V1 V4 II aVL V2 V5 III aVF V3 V6 II"
    v5 = facts.strips[7]
    assert v5.x_s[0] == 7.5
    assert np.allclose(v5.y_mv, signal[10, 750:] - 3.0)
    rhythm = facts.strips[-1]
    assert len(rhythm.x_s) == 1000
    assert np.allclose(rhythm.y_mv, signal[1] - 9.0)


def test_title_names_the_statements() -> None:
    records = SOURCE.records()
    given = [code for code, has in zip(records.codes, records.statements[3], strict=True) if has]
    assert _facts().title == f"synthetic 4, 100 Hz, fold {records.fold[3]}: {' '.join(given)}"


def test_a_millimetre_is_40_ms_and_a_tenth_of_a_millivolt_and_squares_are_square() -> None:
    layout = plot_figure(_facts()).layout
    assert layout.xaxis.minor.dtick == pytest.approx(0.04)
    assert layout.xaxis.dtick == pytest.approx(0.2)
    assert layout.yaxis.minor.dtick == pytest.approx(0.1)
    assert layout.yaxis.dtick == pytest.approx(0.5)
    assert layout.yaxis.scaleratio == pytest.approx(10 / 25)
    assert layout.yaxis.scaleanchor == "x"


def test_page_opens_offline(tmp_path: Path) -> None:
    write_figure(plot_figure(_facts()), tmp_path / "record.html")
    page = (tmp_path / "record.html").read_text()
    assert "Plotly.newPlot" in page
    assert '<script src="http' not in page


def test_another_suffix_and_another_record_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"suffix '.bmp' is not possible"):
        write_figure(plot_figure(_facts()), tmp_path / "record.bmp")
    with pytest.raises(DataError, match="there is no record 21"):
        _facts(21)
