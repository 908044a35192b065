"""What a workflow body may not ask of its loop, and what to do instead."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from perdure.core.errors import NotInWorkflow


def _refusal(what: str, why: str, instead: str) -> Any:
    sentence = f"{what} in the body of a workflow {why}; {instead}"

    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
        for argument in args:
            if asyncio.iscoroutine(argument):
                argument.close()
        raise NotInWorkflow(sentence)

    refuse.__doc__ = f"Refused: {sentence}."
    return refuse


_IN_A_STEP = "do it in a function (@function) and await that as a step"


def _thread(what: str) -> Any:
    return _refusal(what, "would run code that a replay cannot repeat", _IN_A_STEP)


def _io(what: str) -> Any:
    return _refusal(what, "would do I/O that a replay cannot repeat", _IN_A_STEP)


def _process(what: str) -> Any:
    return _refusal(what, "would start a process that a replay would start again", _IN_A_STEP)


def _hosting(what: str) -> Any:
    return _refusal(
        what, "is not possible", "the worker runs the loop of a workflow: use `await` instead"
    )


def _signal(what: str) -> Any:
    return _refusal(
        what, "is not possible", "signals belong to the process: to end a run, cancel it"
    )


class Refusals(asyncio.AbstractEventLoop):
    """An event loop that refuses, in a sentence each, all that is not deterministic."""

    run_forever = _hosting("run_forever()")
    run_until_complete = _hosting("run_until_complete()")
    stop = _hosting("loop.stop()")
    shutdown_default_executor = _hosting("shutdown_default_executor()")

    run_in_executor = _thread("run_in_executor() or asyncio.to_thread()")
    set_default_executor = _thread("set_default_executor()")

    getaddrinfo = _io("getaddrinfo()")
    getnameinfo = _io("getnameinfo()")
    create_connection = _io("create_connection() or asyncio.open_connection()")
    create_server = _io("create_server() or asyncio.start_server()")
    create_unix_connection = _io("create_unix_connection()")
    create_unix_server = _io("create_unix_server()")
    create_datagram_endpoint = _io("create_datagram_endpoint()")
    connect_accepted_socket = _io("connect_accepted_socket()")
    connect_read_pipe = _io("connect_read_pipe()")
    connect_write_pipe = _io("connect_write_pipe()")
    start_tls = _io("start_tls()")
    sendfile = _io("sendfile()")
    sock_recv = _io("sock_recv()")
    sock_recv_into = _io("sock_recv_into()")
    sock_recvfrom = _io("sock_recvfrom()")
    sock_recvfrom_into = _io("sock_recvfrom_into()")
    sock_sendall = _io("sock_sendall()")
    sock_sendto = _io("sock_sendto()")
    sock_connect = _io("sock_connect()")
    sock_accept = _io("sock_accept()")
    sock_sendfile = _io("sock_sendfile()")
    add_reader = _io("add_reader()")
    remove_reader = _io("remove_reader()")
    add_writer = _io("add_writer()")
    remove_writer = _io("remove_writer()")

    subprocess_exec = _process("subprocess_exec() or asyncio.create_subprocess_exec()")
    subprocess_shell = _process("subprocess_shell() or asyncio.create_subprocess_shell()")

    add_signal_handler = _signal("add_signal_handler()")
    remove_signal_handler = _signal("remove_signal_handler()")
