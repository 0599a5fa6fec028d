"""Every picture in docs/images, by one command. Each says below which commit and machine it is of.

    python -m benchmarks.figures              all of them; nothing else may run on the machine
    python -m benchmarks.figures --untimed    only those that show no speed

The same line is in the PNG file, under the key Comment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from esr_workbench.pareto.measure import machine_name

IMAGES = Path(__file__).parent.parent / "docs" / "images"
COMMENT = "Comment"
FONT_PX = 13
MARGIN_PX = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of the docs, and the command that draws it."""

    command: tuple[str, ...]
    """A module with its arguments; {folder} is where it writes."""
    file: str
    """What the command calls it."""
    quick: tuple[str, ...] = ()
    """Arguments that make it take seconds, to see whether it works: the figures mean nothing then."""
    is_timed: bool = False
    """It shows how fast the machine is, so nothing else may run."""


_EXPLAIN = ("esr_workbench.cli", "explain", "esr_tr_x2", "--out", "{folder}")
FIGURES = {
    "pareto.png": Figure(
        ("esr_workbench.cli", "pareto", "--out", "{folder}"),
        "pareto.png",
        ("bicubic_x2", "esr_max_x2", "--size", "96x64", "--rounds", "1"),
        is_timed=True,
    ),
    "overload.png": Figure(
        ("benchmarks.overload", "--plot", "{folder}/overload.png"), "overload.png", ("--seconds", "2"), is_timed=True
    ),
    "crops.png": Figure(("benchmarks.crops", "{folder}/crops.png"), "crops.png"),
    "before_after.png": Figure(("benchmarks.before_after", "{folder}/before_after.png"), "before_after.png"),
    "esr_tr_x2_filters.png": Figure(_EXPLAIN, "esr_tr_x2_k5_c2_filters.png"),
    "esr_tr_x2_attention.png": Figure(_EXPLAIN, "esr_tr_x2_k5_c2_attention.png"),
}
"""Names in docs/images."""


def describe_run() -> str:
    """Return commit, date and machine, in a line. A commit with changes on top says so."""
    git = ("git", "-C", str(IMAGES.parent), "describe", "--always", "--dirty=-changed", "--exclude=*")
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    today = datetime.now(UTC).date().isoformat()
    return f"commit {commit}, {today}, {machine_name()}, {os.cpu_count()} processors"


def stamp(picture: Path, text: str, out: Path) -> None:
    """Copy a PNG to `out` with `text` below it, and in the file."""
    font = ImageFont.load_default(FONT_PX)
    with Image.open(picture) as image:
        rgb = image.convert("RGB")
    stamped = Image.new("RGB", (rgb.width, rgb.height + FONT_PX + 2 * MARGIN_PX), "white")
    stamped.paste(rgb)
    ImageDraw.Draw(stamped).text((MARGIN_PX, rgb.height + MARGIN_PX // 2), text, fill="#555555", font=font)
    info = PngInfo()
    info.add_text(COMMENT, text)
    out.parent.mkdir(parents=True, exist_ok=True)
    stamped.save(out, pnginfo=info, optimize=True)


def draw(figures: dict[str, Figure], out: Path, *, quick: bool = False) -> list[Path]:
    """Draw figures into the directory `out`, each command once; return the paths.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    text = describe_run() + (", quick: not a measurement" if quick else "")
    paths = []
    with tempfile.TemporaryDirectory() as folder:
        folders: dict[tuple[str, ...], Path] = {}
        for name, figure in figures.items():
            if figure.command not in folders:
                folders[figure.command] = Path(folder) / str(len(folders))
                arguments = [argument.format(folder=folders[figure.command]) for argument in figure.command]
                command = [sys.executable, "-m", *arguments, *(figure.quick if quick else ())]
                subprocess.run(command, check=True, cwd=IMAGES.parent.parent, stdout=sys.stderr)
            paths.append(out / name)
            stamp(folders[figure.command] / figure.file, text, paths[-1])
    return paths


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(FIGURES)}; default: all")
    parser.add_argument("--out", type=Path, default=IMAGES, help="directory to write to, default docs/images")
    parser.add_argument("--untimed", action="store_true", help="leave out those that show how fast the machine is")
    parser.add_argument("--quick", action="store_true", help="see in seconds whether it works; needs another --out")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in FIGURES]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(FIGURES)}")
    if arguments.quick and arguments.out.resolve() == IMAGES.resolve():
        parser.error("--quick measures nothing, so it does not write to docs/images: give --out DIR")
    figures = {name: FIGURES[name] for name in arguments.names or FIGURES}
    if arguments.untimed:
        figures = {name: figure for name, figure in figures.items() if not figure.is_timed}
    for path in draw(figures, arguments.out, quick=arguments.quick):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
