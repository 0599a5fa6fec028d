"""Many inputs: files, folders and patterns become a list of tasks, each with an output of its own."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from esr_client._errors import InputError, OutputError
from esr_client.files._destination import FILE_SUFFIXES, STANDARD_STREAM, is_pipe, numbered_files

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")
_VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".mts", ".avi", ".flv", ".nut", ".y4m"),
        *(".mpg", ".mpeg", ".vob", ".wmv", ".asf", ".ogv", ".3gp", ".mxf", ".gif"),
    }
)
_INPUT_SUFFIXES = _VIDEO_SUFFIXES.union(PICTURE_SUFFIXES)
_FALLBACK_SUFFIX = ".mkv"


class Media(Enum):
    """The kind of a task's input."""

    VIDEO = auto()
    PICTURE = auto()


@dataclass(frozen=True, slots=True)
class Task:
    """One input and its output."""

    source: str
    out: str
    media: Media


def plan_tasks(sources: Sequence[str], out: str, *, recursive: bool = False) -> tuple[Task, ...]:
    """Return a task for each input. Several inputs, a folder or a pattern need a folder as output.

    Raises:
        InputError: a folder or a pattern has nothing to upscale.
        OutputError: the output is not a folder where one is needed, or two inputs would have the same output.
    """
    if len(sources) == 1 and _is_picture_pattern(sources[0]) and _is_picture_pattern(out):
        files = numbered_files(Path(sources[0]))
        if not files:
            raise InputError(f"no file matches {sources[0]}")
        return tuple(Task(str(path), out % number, Media.PICTURE) for number, path in sorted(files.items()))
    is_many = len(sources) != 1 or os.path.isdir(sources[0]) or _is_pattern(sources[0])
    if not is_many and not os.path.isdir(out) and not out.endswith(("/", os.sep)):
        return (Task(sources[0], out, _media(sources[0], out)),)
    folder = Path(out)
    looks_like_file = not folder.is_dir() and folder.suffix.lower() in (*FILE_SUFFIXES, *PICTURE_SUFFIXES)
    if out == STANDARD_STREAM or "://" in out or folder.is_file() or looks_like_file:
        raise OutputError(f"several inputs need a folder as output, which {out} is not; name one, such as upscaled/")
    tasks = [task for source in sources for task in _tasks_of(source, folder, recursive)]
    source_by_out: dict[str, str] = {}
    for task in tasks:
        other = source_by_out.setdefault(task.out, task.source)
        if other != task.source:
            raise OutputError(f"{other} and {task.source} would both become {task.out}; upscale them into two folders")
    return tuple({task.out: task for task in tasks}.values())


def _is_picture_pattern(name: str) -> bool:
    return "%" in name and "://" not in name and Path(name).suffix.lower() in PICTURE_SUFFIXES


def _is_pattern(source: str) -> bool:
    return "://" not in source and glob.has_magic(source) and not os.path.exists(source)


def _media(source: str, out: str) -> Media:
    if "%" in source or "://" in source or is_pipe(source):
        return Media.VIDEO
    is_picture = Path(source).suffix.lower() in PICTURE_SUFFIXES and Path(out).suffix.lower() in PICTURE_SUFFIXES
    return Media.PICTURE if is_picture and "%" not in out else Media.VIDEO


def _tasks_of(source: str, folder: Path, recursive: bool) -> Iterator[Task]:
    if os.path.isdir(source):
        files = list(_in_folder(Path(source), folder, recursive))
        if not files:
            where = "" if recursive else "; add --recursive to look into its folders"
            raise InputError(f"there is no video or picture in {source}{where}")
        yield from (_task(path, relative.parent, folder) for path, relative in files)
        return
    paths = sorted(glob.glob(source, recursive=recursive)) if _is_pattern(source) else [source]
    if not paths:
        raise InputError(f"no file matches {source}")
    yield from (_task(Path(path), Path(), folder) for path in paths if not os.path.isdir(path))


def _in_folder(source: Path, folder: Path, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Give the files to upscale in a folder with their paths in it, without hidden ones and earlier outputs."""
    target = folder.resolve()
    for path in sorted(source.rglob("*") if recursive else source.iterdir()):
        relative = path.relative_to(source)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        is_output = target != source.resolve() and path.resolve().is_relative_to(target)
        if path.is_file() and not is_hidden and not is_output and path.suffix.lower() in _INPUT_SUFFIXES:
            yield path, relative


def _task(path: Path, parent: Path, folder: Path) -> Task:
    suffix = path.suffix.lower()
    out_suffix = path.suffix if suffix in (*FILE_SUFFIXES, *PICTURE_SUFFIXES) else _FALLBACK_SUFFIX
    out = folder / parent / f"{path.stem}{out_suffix}"
    return Task(str(path), str(out), _media(str(path), str(out)))
