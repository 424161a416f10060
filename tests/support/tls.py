"""TLS in front of a Redis: certificates of every kind, and a proxy that speaks it."""

import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CHUNK = 65_536


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


def authority(folder: Path, name: str = "ca") -> Pair:
    """A certificate authority of its own."""
    made = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", made.key,
            "-out", made.certificate)  # fmt: skip
    return made


def signed(folder: Path, ca: Pair, name: str, *, expired: bool = False) -> Pair:
    """A certificate for 127.0.0.1 that the authority signed."""
    made, request, extensions = Pair(folder / f"{name}.pem", folder / f"{name}.key"), folder / "csr", folder / "ext"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("x509", "-req", "-in", request, "-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial",
            "-extfile", extensions, "-out", made.certificate, "-days", "-1" if expired else "2")  # fmt: skip
    return made


def openssl(*words: object) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@contextmanager
def tls_proxy(target: int, pair: Pair, *, clients: Pair | None = None) -> Iterator[int]:
    """Forward a TLS port, which is yielded, to 127.0.0.1:`target`. With `clients` it requires their certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, context, target), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _accept(server: socket.socket, context: ssl.SSLContext, target: int) -> None:
    while True:
        try:
            plain, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_forward, args=(plain, context, target), daemon=True).start()


def _forward(plain: socket.socket, context: ssl.SSLContext, target: int) -> None:
    """Pass both ways until one side closes. One thread does both: a TLS socket may not be read and written at once."""
    with (
        suppress(OSError),
        plain,
        context.wrap_socket(plain, server_side=True) as outer,
        socket.create_connection(("127.0.0.1", target)) as inner,
    ):
        while True:
            for source in [outer] if outer.pending() else select.select([outer, inner], [], [])[0]:
                data = source.recv(CHUNK)
                if not data:
                    return
                (inner if source is outer else outer).sendall(data)
