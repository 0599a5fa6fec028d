"""The process that starts the processes of codecs: small, with one thread, and FFmpeg loaded.

The server has many threads and much memory, and must not fork. It sends a connection and a memfd; a fork of this
process serves that connection. The descriptor of the new process (pidfd) goes back: with it the server can end it.
"""

from __future__ import annotations

import errno
import gc
import logging
import mmap
import os
import selectors
import signal
import socket
import sys
import traceback

from esr_server.codecs.channel import Channel
from esr_server.codecs.confinement import confine
from esr_server.codecs.worker import serve

_log = logging.getLogger("esr_server.codecs")  # __name__ is __main__ here


def main(control: socket.socket) -> None:
    """Start a process for each request on `control`, until the server closes it or ends."""
    # Signals of a terminal or a supervisor are for the server, which ends its streams in order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control.sendall(b"r")
    gc.collect()
    gc.freeze()  # pages of objects that are never collected stay shared with the forks
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    _reap(selector, key.fd, key.data)
                    continue
                request, descriptors, _, _ = socket.recv_fds(control, 1, 2)
                if not request:
                    return
                if len(descriptors) == 2:
                    _start(control, selector, *descriptors)
                    continue
                for descriptor in descriptors:  # the others did not fit into this process
                    os.close(descriptor)
                control.sendall(str(errno.EMFILE).encode())


def _start(control: socket.socket, selector: selectors.BaseSelector, connection: int, memory: int) -> None:
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        control.sendall(str(error.errno).encode())
        return
    finally:
        if os.getpid() == parent:
            os.close(connection)
            os.close(memory)
    if pid == 0:
        # What other codecs have is not for this one.
        for key in list(selector.get_map().values()):
            os.close(key.fd)
        control.detach()
        selector.close()
        _run(parent, connection, memory)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        control.sendall(str(error.errno).encode())
        return
    selector.register(descriptor, selectors.EVENT_READ, pid)
    socket.send_fds(control, [b"0"], [descriptor])


def _run(parent: int, connection: int, memory: int) -> None:
    status = 1
    try:
        confine(parent)
        with socket.socket(fileno=connection) as end:
            serve(Channel(end), memoryview(mmap.mmap(memory, 0)))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _reap(selector: selectors.BaseSelector, descriptor: int, pid: int) -> None:
    selector.unregister(descriptor)
    os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0 and code != -signal.SIGKILL:
        _log.error("the process of a codec died of signal %d (%s)", -code, signal.strsignal(-code))


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    main(socket.socket(fileno=int(sys.argv[1])))
