"""A client of HTTP/1.1 that knows at which byte of an answer it is."""

from __future__ import annotations

from benches.soak.wire import Broken, Target

BLOCK = 64 * 1024


class Http1:
    """One request and its answer, over a connection of its own."""

    def __init__(self, target: Target, small_buffers: bool = False):
        self.socket = target.connect(small_buffers, "http/1.1")
        self.host = f"127.0.0.1:{target.port}"
        self.buffer = bytearray()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.left = None  # bytes of the answer, or of its current chunk

    def send(self, method: str, path: str, headers: dict[str, str]) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nTE: trailers\r\nConnection: close, TE\r\n"
        self.send_raw((head + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode())

    def send_raw(self, what: bytes) -> None:
        try:
            self.socket.sendall(what)
        except OSError as error:
            raise Broken(f"sending: {error}") from error

    def read_head(self) -> None:
        version, status, *_ = self._line().split(" ", 2) + [""]
        if not version.startswith("HTTP/1.") or not status.isdigit():
            raise Broken(f"no status line: {version} {status}")
        self.status, self.headers = int(status), self._fields()
        self.is_chunked = self.headers.get("transfer-encoding") == "chunked"
        self.left = 0 if self.is_chunked else int(self.headers.get("content-length", 0))

    def read(self) -> bytes:
        """Some of the body; nothing only at its proper end."""
        if self.left == 0 and self.is_chunked:
            self.left = int(self._line().split(";")[0], 16)
            if self.left == 0:
                self.trailers, self.is_chunked = self._fields(), False
        if self.left == 0:
            return b""
        piece = self._some(min(self.left, BLOCK))
        self.left -= len(piece)
        if self.left == 0 and self.is_chunked:
            self._line()
        return piece

    def leave(self) -> None:
        """Goes without a word. What has not been read makes the kernel send a reset."""
        self.socket.close()

    close = leave

    def _fields(self) -> dict[str, str]:
        fields = {}
        while line := self._line():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return fields

    def _line(self) -> str:
        while (end := self.buffer.find(b"\r\n")) < 0:
            self._receive()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line.decode("latin-1")

    def _some(self, most: int) -> bytes:
        if not self.buffer:
            self._receive()
        piece = bytes(self.buffer[:most])
        del self.buffer[:most]
        return piece

    def _receive(self) -> None:
        try:
            received = self.socket.recv(BLOCK)
        except OSError as error:
            raise Broken(f"receiving: {error}") from error
        if not received:
            raise Broken("the connection was closed before the end")
        self.buffer += received
