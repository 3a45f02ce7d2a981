"""Connections of the soak's clients."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import struct
from typing import Optional

# So that what is sent and not read stays on the other side. It is not smaller because Linux gives up, after
# TCP_USER_TIMEOUT, a client whose window never takes a segment (64 KiB on the loopback) as a whole, however it reads.
BUFFER = 128 * 1024
# Longer than anything that the server may take for a request, its answer's next byte included.
PATIENCE = 90


class Broken(Exception):
    """The server, or the way to it, did not bring the answer to its end."""


class Reset(Broken):
    """The server broke an answer off. What of it had not left yet is gone then, its head included."""


@dataclasses.dataclass
class Target:
    """Where a server is."""

    port: int
    tls: Optional[dict[str, ssl.SSLContext]] = None  # by the protocol to be agreed upon
    address: str = "127.0.0.1"  # the client's own, which the server counts failed keys by

    def from_address(self, address: str) -> Target:
        return dataclasses.replace(self, address=address)

    def connect(self, small_buffers: bool, protocol: str) -> socket.socket:
        connection = socket.socket()
        try:
            connection.settimeout(PATIENCE)
            if small_buffers:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            connection.bind((self.address, 0))
            connection.connect(("127.0.0.1", self.port))
            if self.tls:
                connection = self._greet(connection, protocol)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            raise Broken(f"connecting: {error}") from error

    def _greet(self, connection: socket.socket, protocol: str) -> socket.socket:
        wrapped = self.tls[protocol].wrap_socket(connection, server_hostname="127.0.0.1")
        if wrapped.selected_alpn_protocol() != protocol:
            raise OSError(f"{protocol} was not agreed upon")
        return wrapped


def trusting(certificate) -> dict[str, ssl.SSLContext]:
    """What checks that a server has this certificate."""
    contexts = {protocol: ssl.create_default_context(cafile=certificate) for protocol in ("h2", "http/1.1")}
    for protocol, context in contexts.items():
        context.set_alpn_protocols([protocol])
    return contexts


def reset(connection: socket.socket) -> None:
    """Closes with a reset, whatever was read."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
