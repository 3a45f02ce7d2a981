"""A client of HTTP/2 with one stream, whose window opens only by what it reads."""

from __future__ import annotations

import contextlib

import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from benches.soak.wire import Broken, Reset, Target

BLOCK = 64 * 1024
WINDOW = 1 << 20


class Http2:
    """One request and its answer, over a connection of its own."""

    def __init__(self, target: Target, small_buffers: bool = False):
        self.socket = target.connect(small_buffers, "h2")
        self.scheme, self.authority = ("https" if target.tls else "http"), f"127.0.0.1:{target.port}"
        self.connection = h2.connection.H2Connection()
        self.connection.initiate_connection()
        if not small_buffers:
            self.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
            self.connection.increment_flow_control_window(WINDOW)
        self.stream = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.is_ended = False

    def send(self, method: str, path: str, headers: dict[str, str]) -> None:
        self.stream = self.open(method, path, headers)
        self._flush()

    def open(self, method: str, path: str, headers: dict[str, str]) -> int:
        """The number of a new stream; the request leaves with whatever is sent next."""
        stream = self.connection.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", self.scheme), (":authority", self.authority)]
        fields = [(name.lower(), value) for name, value in headers.items()]
        self.connection.send_headers(stream, [*pseudo, *fields, ("te", "trailers")], end_stream=True)
        return stream

    def read_head(self) -> None:
        while not self.status:
            self._receive()

    def read(self) -> bytes:
        """Some of the body; nothing only at its proper end."""
        while not self.pieces and not self.is_ended:
            self._receive()
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the stream has ended meanwhile
            self.connection.acknowledge_received_data(len(piece), self.stream)
        self._flush()
        return piece

    def leave(self) -> None:
        """Resets the stream and goes."""
        with contextlib.suppress(h2.exceptions.ProtocolError, Broken):
            self.connection.reset_stream(self.stream)
            self._flush()
        self.close()

    def close(self) -> None:
        self.socket.close()

    def _flush(self) -> None:
        try:
            self.socket.sendall(self.connection.data_to_send())
        except OSError as error:
            if not self.is_ended:
                raise Broken(f"sending: {error}") from error

    def _receive(self) -> None:
        try:
            received = self.socket.recv(BLOCK)
            events = self.connection.receive_data(received)
        except (OSError, h2.exceptions.ProtocolError) as error:
            raise Broken(f"receiving: {error}") from error
        if not received:
            raise Broken("the connection was closed before the end")
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            fields = {_text(name): _text(value) for name, value in event.headers}
            self.status, self.headers = int(fields.pop(":status")), fields
        elif isinstance(event, h2.events.DataReceived):
            if event.data:
                self.pieces.append(event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = {_text(name): _text(value) for name, value in event.headers}
        elif isinstance(event, h2.events.StreamEnded):
            self.is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            raise Reset(f"the stream was reset ({event.error_code!r})")
        elif isinstance(event, h2.events.ConnectionTerminated) and event.error_code:
            raise Broken(f"the connection was ended ({event.error_code!r})")


def _text(value) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
