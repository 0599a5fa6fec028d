"""Every fenced block of the documentation: commands are parsed by the real programs, Python runs on a real server."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import textwrap
import tomllib
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray

import esr_client
from esr_client import cli as client_cli
from esr_server.__main__ import esr_serve
from esr_upscale.models import list_models, resolve
from esr_workbench import cli as workbench_cli
from esr_workbench.training.pool import read_pool
from tests.support.server import running, running_on_thread, target

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

OTHER_PROGRAMS = {
    ".": "activates an environment",
    "cd": "of the shell",
    "curl": "a request to a running server",
    "ffmpeg": "not ours",
    "ffplay": "not ours",
    "git": "not ours",
    "grpcurl": "a request to a running server",
    "mpv": "not ours",
    "pre-commit": "not ours",
    "python3": "makes an environment",
}
"""Programs whose arguments nothing here can check, and why."""


@dataclass(frozen=True)
class Block:
    """A fenced block and its place."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    fence_start: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = re.fullmatch(r"(\s*)(`{3,}|~{3,})(.*)", line)
        if fence_start is None and fence:
            fence_start, lines = (number, fence[2], fence[3].strip()), []
        elif fence_start is not None and fence and fence[2] == fence_start[1] and not fence[3]:
            yield Block(
                path.relative_to(ROOT).as_posix(), fence_start[0], fence_start[2], textwrap.dedent("\n".join(lines))
            )
            fence_start = None
        else:
            lines.append(line)
    assert fence_start is None, f"{path.name}:{fence_start and fence_start[0]}: the block has no end"


BLOCKS = [block for path in PAGES for block in blocks(path)]


def of_language(language: str) -> pytest.MarkDecorator:
    """Parametrize by the blocks of a language."""
    blocks = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", blocks, ids=map(str, blocks))


@pytest.mark.parametrize("block", BLOCKS, ids=map(str, BLOCKS))
def test_block_has_a_language(block: Block) -> None:
    """`text` is for output and diagrams, of which nothing is checked."""
    assert block.language in ("sh", "python", "toml", "text")


# ---- sh


def parser(application: typer.Typer) -> Any:
    """Return the command of an application with nothing to run behind its command line."""
    command = typer.main.get_command(application)
    for each in getattr(command, "commands", {"": command}).values():
        each.callback = lambda **_: None
    return command


serve = typer.Typer(add_completion=False)
serve.command()(esr_serve)
PROGRAMS = {"esr-client": parser(client_cli.app), "esr": parser(workbench_cli.app), "esr-serve": parser(serve)}


def check_pip(arguments: list[str]) -> None:
    """Check the extras that are named; packages of others are not ours to check."""
    for argument in arguments:
        if match := re.fullmatch(r"(\./client|\.)\[(.*)\]", argument):
            assert set(match[2].split(",")) <= set(EXTRAS) | {"files"}
        elif argument.startswith((".", "constraints")):
            assert (ROOT / argument).exists()


def check_python(arguments: list[str]) -> None:
    """Check that a module or file is there, and that its source names the options."""
    is_module = arguments[0] == "-m"
    name, *rest = arguments[is_module:]
    spec = importlib.util.find_spec(name) if is_module else None
    source = Path(spec.origin if spec and spec.origin else ROOT / name).read_text()
    for option in (argument for argument in rest if argument.startswith("--")):
        assert f'"{option}"' in source, f"{name} has no {option}"


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for argument in arguments:
        variable, is_set, _ = argument.partition("=")
        pattern = rf"^{variable} *\?=" if is_set else rf"^{argument}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"the Makefile has no {argument}"


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a shell script: no pipes, variables or comments."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words = list(lexer)
        while words:
            end = next((i for i, word in enumerate(words) if set(word) <= set("|&;")), len(words))
            simple, words = words[:end], words[end + 1 :]
            yield list(simple[next(i for i, word in enumerate(simple) if not re.match(r"[A-Z_]+=", word)) :])


@of_language("sh")
def test_commands_parse(block: Block) -> None:
    for program, *arguments in command_lines(block.text):
        if program in PROGRAMS:
            PROGRAMS[program].main(arguments, prog_name=program, standalone_mode=False)
        elif check := {"pip": check_pip, "python": check_python, "make": check_make}.get(program):
            check(arguments)
        else:
            assert program in OTHER_PROGRAMS, f"{block}: nothing checks {program}"


def sentences(path: Path) -> str:
    """Return the text of a page without its blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", path.read_text())


INLINE = [
    (path.name, text)
    for path in PAGES
    for text in re.findall(r"`((?:esr|esr-serve|esr-client) [^`]+)`", sentences(path))
    if not re.search(r"[A-Z]{2,}|…|\[", text)
]


@pytest.mark.parametrize(("page", "text"), INLINE, ids=[f"{page}-{text}" for page, text in INLINE])
def test_commands_in_sentences_have_their_options(page: str, text: str) -> None:
    """A command in a sentence may lack its arguments; its options are those of the program."""
    (name, *arguments) = next(command_lines(text))
    program = PROGRAMS[name]
    if hasattr(program, "commands") and not arguments[0].startswith("-"):
        assert arguments[0] in program.commands
        program, arguments = program.commands[arguments[0]], arguments[1:]
    options = {option for parameter in program.params for option in (*parameter.opts, *parameter.secondary_opts)}
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    assert flags <= options | {"--help", "--install-completion"}


# ---- toml, python


@of_language("toml")
def test_pool_is_read(block: Block, tmp_path: Path) -> None:
    (tmp_path / "pool.toml").write_text(block.text)
    assert read_pool(tmp_path / "pool.toml")


def pictures() -> list[NDArray[np.uint8]]:
    return [np.full((16, 24, 3), value, np.uint8) for value in (20, 90, 160)]


def run(block: Block, address: str, client: object) -> Coroutine[Any, Any, None] | None:
    """Run a block with the names that its page explains; return what is left to await.

    Its models are looked up, and one that loads at once takes their place.
    """
    models = set(re.findall(r'"(\w+_x\d)"', block.text)) - {"auto_x3"}
    assert all(resolve(model, list_models()) for model in models)
    text = re.sub("|".join(models) or "$^", "bicubic_x2", block.text)
    text = text.replace("127.0.0.1:50051", address).replace("unix:/run/esr/s", address)
    code = compile(text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"esr_client": esr_client, "Delivery": esr_client.Delivery, "client": client}
    page_names = {"frames": pictures(), "camera": pictures(), "show": lambda frame: None}
    result: Coroutine[Any, Any, None] | None = eval(code, {**names, **page_names})
    return result


class Consumer:
    """A client whose streams are read to their end where the block that begins one does not."""

    def __init__(self, client: esr_client.Client) -> None:
        self._client = client
        self.streams: list[esr_client.UpscaleStream[Any]] = []

    def upscale(self, frames: Iterable[Any], **arguments: Any) -> esr_client.UpscaleStream[Any]:
        """Begin a stream, and remember it."""
        self.streams.append(self._client.upscale(frames, **arguments))
        return self.streams[-1]


@of_language("python")
async def test_python_runs(block: Block) -> None:
    if "async " in block.text:
        async with running() as server:
            coroutine = run(block, target(server), None)
            assert coroutine is not None
            await coroutine
        return
    with running_on_thread() as server, esr_client.connect(target(server)) as client:
        consumer = Consumer(client)
        assert run(block, target(server), consumer) is None
        for stream in consumer.streams:
            list(stream)
            assert stream.statistics is not None
            assert stream.statistics.frames_in == len(pictures())
