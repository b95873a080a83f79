"""A way to a server that can be cut: every connection through it at once, or one at an answer."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Passes bytes between a port of its own and a server on this machine."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut_at: bytes | None = None
        self._was_cut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> bool:
        """Break every connection; return whether there was any."""
        with self._lock:
            cut, self._open = self._open, set()
        for end in cut:
            _break(end)
        return bool(cut)

    def cut_instead_of(self, answer: bytes, timeout: float) -> bool:
        """Break the next connection on which the server gives this answer, before it passes;
        return whether one did within ``timeout`` seconds."""
        self._was_cut.clear()
        with self._lock:
            self._cut_at = answer
        self._was_cut.wait(timeout)
        with self._lock:
            self._cut_at = None
        return self._was_cut.is_set()

    def close(self) -> None:
        """Take no more connections, and break those there are."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._pump, args=(source, target, source is server), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self._is_to_be_cut(data):
                    break
                target.sendall(data)
        for end in (source, target):
            _break(end)
            end.close()
        with self._lock:
            self._open -= {source, target}

    def _is_to_be_cut(self, answer: bytes) -> bool:
        with self._lock:
            if self._cut_at is None or self._cut_at not in answer:
                return False
            self._cut_at = None
        self._was_cut.set()
        return True


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
