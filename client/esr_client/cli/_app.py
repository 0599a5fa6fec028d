"""The application that commands are added to, and what they share: options, errors and the server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import typer
from rich.console import Console

import esr_client
from esr_client._client import Client
from esr_client._connect import connect
from esr_client._errors import EsrError, UnavailableError
from esr_client._private_server import PrivateServer
from esr_client.cli._interrupt import interruptible

DEFAULT_SERVER = "127.0.0.1:50051"
INTERRUPTED = 130

ResultT = TypeVar("ResultT")

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="ESR_SERVER",
        metavar="ADDRESS",
        help="Server to use, HOST[:PORT] or unix:PATH. Without it a private server is started.",
    ),
]
RunningServerOption = Annotated[
    str,
    typer.Option("--server", envvar="ESR_SERVER", metavar="ADDRESS", help="Server, HOST[:PORT] or unix:PATH."),
]

app = typer.Typer(
    help="Upscale video and pictures with edge-SR models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"esr-client {esr_client.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def error_console() -> Console:
    """Return a console on standard error; standard output may carry video."""
    return Console(stderr=True, highlight=False)


def print_error(text: str) -> None:
    error_console().print(f"esr-client: {text}", style="red", markup=False, soft_wrap=True)


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turn errors into one clear line and an exit code."""
    try:
        yield
    except (EsrError, ValueError) as error:
        print_error(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print_error("interrupted")
        raise typer.Exit(INTERRUPTED) from None


class Services:
    """The server of a command: a running one, or a private one that starts when it is first needed."""

    def __init__(self, address: str | None, own_model: str | None = None) -> None:
        """Check the address. A private server loads `own_model` (NAME=FILE) instead of the first model asked for.

        Raises:
            ValueError: it is none.
        """
        self._address = address
        self._own_model = own_model
        self._stack = contextlib.ExitStack()
        self._client = self._stack.enter_context(connect(address)) if address is not None else None

    def client(self, model: str) -> Client:
        """Return the client. A private server loads `model` first and others when they are asked for.

        Raises:
            PrivateServerError: the private server does not start.
        """
        if self._client is None:
            model = self._own_model or model
            private = self._stack.enter_context(PrivateServer(model))
            with error_console().status(f"starting a private server with {model}"):
                interruptible(private.wait, private.close)
            self._client = self._stack.enter_context(connect(private.target))
        return self._client

    def call(self, client: Client, work: Callable[[], ResultT], stop: Callable[[], object] = lambda: None) -> ResultT:
        """Return the result of `work`, which Ctrl-C ends through `stop` and by closing the client.

        Raises:
            EsrError: as `work`; where no server answers, the message says that none is needed.
        """

        def end() -> None:
            stop()
            client.close()

        try:
            return interruptible(work, end)
        except UnavailableError as error:
            if self._address is None:
                raise
            hint = f"{error}. Without --server (and ESR_SERVER), esr-client upscale starts one of its own"
            raise UnavailableError(hint, code=error.code, retryable=error.retryable) from error

    def close(self) -> None:
        """Close the client, and end a private server."""
        self._stack.close()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
