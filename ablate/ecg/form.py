"""The form of records: what files do not say, and what may be done to make ten seconds of twelve leads of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ablate.ecg.lead_name import lead_positions
from ablate.ecg.source import LEADS

_MOST_GAP_S = 5.0  # half a record
_MOST_HZ = 100_000

Length = Literal["exact", "crop", "pad", "crop_or_pad"]
Take = Literal["first", "middle", "last"]
Unit = Literal["mV", "uV", "nV", "V"]


@dataclass(frozen=True)
class Form:
    """What is declared of all records of a table.

    Args:
        leads: names of the leads in the order of the arrays, where files name none; where they are fewer than twelve,
            also the declaration that records lack the others: limb leads are derived, chest leads stay flat.
        unit: mV, uV, nV or V of files that name none; mV where left out.
        rates_hz: samples a second: one number, a list of those there may be, or "any". Needed for files that name none
            and for records of different rates; all are resampled to ``fs_hz``.
        length: of records that are not ten seconds long: "exact" refuses them, "crop" cuts longer ones, "pad" fills
            shorter ones with zeros at their end, "crop_or_pad" does both.
        take: which ten seconds of a longer record: "first", "middle" or "last"; a column of starts goes before it.
        longest_gap_s: gaps (samples without value) up to this are interpolated, and a record with a longer one is left
            out and counted; at 0 a gap is damage.
        dataset: name of the array in .mat and HDF5 files; the only one that fits where left out.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}  # a study file's [data.form] is one

    leads: tuple[str, ...] | None = None
    unit: Unit | None = None
    rates_hz: int | tuple[int, ...] | Literal["any"] | None = None
    length: Length = "exact"
    take: Take = "first"
    longest_gap_s: float = 0.0
    dataset: str | None = None

    def complaints(self) -> list[str]:
        """What contradicts itself, each beginning with its key."""
        lines = []
        if not 0 <= self.longest_gap_s <= _MOST_GAP_S:
            lines.append(
                f"longest_gap_s: {self.longest_gap_s:g} is out of range; expected 0 to {_MOST_GAP_S:g} seconds"
            )
        rates = (self.rates_hz,) if isinstance(self.rates_hz, int) else self.rates_hz
        if isinstance(rates, tuple) and not all(1 <= rate <= _MOST_HZ for rate in rates):
            lines.append(f"rates_hz: {self.rates_hz} is out of range; expected 1 to {_MOST_HZ} Hz")
        try:
            named = lead_positions(self.leads or LEADS)
        except ValueError as error:
            lines.append(f"leads: {error} is there twice; name each lead once")
        else:
            if not named:
                lines.append(f"leads: {' '.join(self.leads or ())} has none of {' '.join(LEADS)}")
        return lines

    @property
    def declared_hz(self) -> int | None:
        """The one rate that is declared, None where there is none or several."""
        return self.rates_hz if isinstance(self.rates_hz, int) else None

    def allows_hz(self, rate: int) -> bool:
        """Whether a record may have ``rate``; true where nothing is declared."""
        if self.rates_hz in (None, "any"):
            return True
        return rate == self.rates_hz or (isinstance(self.rates_hz, tuple) and rate in self.rates_hz)
