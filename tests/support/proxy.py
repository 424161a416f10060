"""A TCP proxy between a worker and its Redis that can cut, stall and resume: the network of a house full of Macs.

with Proxy(redis_port) as proxy:
    ...  # workers connect to 127.0.0.1:proxy.port
    proxy.stall()  # nothing passes, every connection stays open
    proxy.cut()    # every connection is reset, and so is each new one
    proxy.resume()
    proxy.forget() # what is open now is silent for ever on both sides, and closed on neither; new connections pass
"""

import asyncio
import socket
import struct
import threading
from types import TracebackType
from typing import Self

CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: closing sends RST, as a machine that has gone away


class Proxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target` between `with` and its end, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[asyncio.Task[None]] = set()
        """connections that have not been forgotten"""
        self._down = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()

    def cut(self) -> None:
        """Reset every connection, and each new one, until `resume`."""
        self._call(self._cut)

    def stall(self) -> None:
        """Pass no byte and close nothing until `resume`."""
        self._call(self._flowing.clear)

    def resume(self) -> None:
        """Pass everything again: new connections, and what was held back on those still open."""
        self._call(self._resume)

    def forget(self) -> None:
        """Lose every connection without telling either side, as a router that lost its table."""
        self._call(self._known.clear)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._done.set)
        self._thread.join()

    def _call(self, what: object) -> None:
        assert callable(what)
        self._loop.call_soon_threadsafe(what)

    def _cut(self) -> None:
        self._down = True
        for writer in list(self._open):
            _reset(writer)

    def _resume(self) -> None:
        self._down = False
        self._flowing.set()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._flowing, self._done = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        server.close()
        self._cut()
        self._flowing.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._known.add(task)
        task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            if self._down:
                return
            far, other = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(other)
            await asyncio.gather(self._pump(task, reader, other), self._pump(task, far, writer))
        except OSError:
            pass  # reset by either side, by us, or nobody there: the connection ends, as a cable would
        finally:
            self._known.discard(task)
            for one in (writer, other):
                if one is not None:
                    _reset(one)
                    self._open.discard(one)

    async def _pump(
        self, connection: "asyncio.Task[None]", source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(CHUNK):
            await self._flowing.wait()
            if connection not in self._known:
                break
            sink.write(data)
            await sink.drain()
        if connection in self._known:
            sink.close()
        else:
            await self._done.wait()  # the other side is not told


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
