"""A run's files (dataset, adapter, report) in the ledger: stages on different machines need no shared disk."""

import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import redis

from config.atomic_files import replace_directory
from config.errors import StoreError
from config.ledger.encoding import decompress
from config.ledger.fleet import LeaseRef
from config.ledger.store import decode, redis_errors
from config.ledger.uploads import Upload
from config.topology import run_key

CHUNK = 4 * 1024 * 1024  # bytes before compression; far below the server's 512 MB limit for a value


class Files:
    """Stores whole folders by name: "dataset", "adapter", "report"."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def put(self, run_id: str, name: str, folder: Path, *, lease: LeaseRef | None = None) -> None:
        """Store a folder; readers see either the old files or the new ones.

        StoppedError, and the old files stay, if the `lease` under which the folder was made is no longer this worker's.
        """
        upload = Upload(self._redis, run_key(run_id, f"files:{name}"))
        manifest: dict[str, dict[str, str | int]] = {}
        with redis_errors():
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                relative = path.relative_to(folder).as_posix()
                digest = hashlib.sha256()
                chunks = 0
                for chunks, chunk in enumerate(read_chunks(path), start=1):
                    digest.update(chunk)
                    upload.add({f"{relative}\n{chunks}": zlib.compress(chunk)})
                manifest[relative] = {"chunks": chunks, "sha256": digest.hexdigest()}
            upload.add({"manifest": json.dumps(manifest)})
            upload.replace(lease)

    def get(self, run_id: str, name: str, folder: Path) -> list[Path]:
        """Restore a folder: write it to a temporary directory, then replace `folder`. Returns the files, sorted.

        StoreError if nothing is stored under the name, or if a file does not match its checksum.
        """
        key = run_key(run_id, f"files:{name}")
        with redis_errors():
            found = self._redis.hget(key, "manifest")
        if found is None:
            raise StoreError(f"run {run_id!r} has no {name} in the ledger yet")
        manifest = json.loads(decode(found))
        with replace_directory(folder) as fresh:
            for relative, entry in manifest.items():
                self._write(key, relative, entry["chunks"], entry["sha256"], fresh)
        return [folder / relative for relative in manifest]

    def hashes(self, run_id: str, name: str) -> dict[str, str]:
        """Hex sha256 of each stored file, by its path in the folder; empty if nothing is stored under the name."""
        with redis_errors():
            found = self._redis.hget(run_key(run_id, f"files:{name}"), "manifest")
        return {relative: entry["sha256"] for relative, entry in json.loads(decode(found) or "{}").items()}

    def has(self, run_id: str, name: str) -> bool:
        """Whether a folder is stored under the name."""
        with redis_errors():
            return bool(self._redis.exists(run_key(run_id, f"files:{name}")))

    def read(self, run_id: str, name: str, relative: str) -> bytes | None:
        """The content of one stored file; None if it is not stored. StoreError if it does not match its checksum."""
        key = run_key(run_id, f"files:{name}")
        with redis_errors():
            found = self._redis.hget(key, "manifest")
        entry = json.loads(decode(found) or "{}").get(relative)
        return b"".join(self._chunks(key, relative, entry["chunks"], entry["sha256"])) if entry else None

    def _write(self, key: str, relative: str, chunks: int, sha256: str, folder: Path) -> None:
        target = (folder / relative).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise StoreError(f"the ledger lists a file outside its folder: {relative!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            out.writelines(self._chunks(key, relative, chunks, sha256))

    def _chunks(self, key: str, relative: str, chunks: int, sha256: str) -> Iterator[bytes]:
        """Yield a file's content; StoreError at the end if it does not match its checksum."""
        digest = hashlib.sha256()
        for number in range(1, chunks + 1):
            with redis_errors():
                blob = self._redis.hget(key, f"{relative}\n{number}")
            if not isinstance(blob, bytes):
                raise StoreError(f"part {number} of {relative!r} is missing from the ledger")
            try:
                chunk = decompress(blob, CHUNK)
            except zlib.error as error:
                raise StoreError(f"part {number} of {relative!r} in the ledger cannot be read: {error}") from error
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != sha256:
            raise StoreError(f"the stored content of {relative!r} does not match its checksum")


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, CHUNK at a time."""
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk
