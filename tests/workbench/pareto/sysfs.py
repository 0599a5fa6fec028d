"""A tree of files in the place of sysfs."""

from __future__ import annotations

from pathlib import Path

from esr_workbench.pareto.power import HWMON, POWERCAP

TOP = 262_143_328_850
"""Microjoules at which the counters of a zone begin again."""


class FakeSysfs:
    """A double of sysfs: a directory that tests fill with the files of meters."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def zone(self, name: str, label: str, energy_uj: int) -> Path:
        return self._write(f"{POWERCAP}/{name}", name=label, energy_uj=energy_uj, max_energy_range_uj=TOP)

    def chip(self, number: int, name: str, **files: object) -> Path:
        return self._write(f"{HWMON}/hwmon{number}", name=name, **files)

    def _write(self, directory: str, **files: object) -> Path:
        path = self.root / directory
        path.mkdir(parents=True)
        for name, value in files.items():
            (path / name).write_text(f"{value}\n")
        return path
