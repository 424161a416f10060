"""What a power cut and a restored snapshot take from the broker: the end of its append-only file, while it is down."""

import os
import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AppendOnly:
    """The file that the server appended to at one moment, and its size. Every earlier size is an earlier state."""

    file: Path
    size: int

    @classmethod
    def now(cls, folder: Path) -> "AppendOnly":
        """That of the server of this folder. While the server rewrites the file there are two; the newer one counts."""
        files = (folder / "redis" / "appendonlydir").glob("*.incr.aof")
        file = max(files, key=lambda path: int(path.name.split(".")[-3]))
        return cls(file, file.stat().st_size)

    def restore(self) -> None:
        """Forget what was written since."""
        os.truncate(self.file, min(self.size, self.file.stat().st_size))

    def between(self, earlier: "AppendOnly", seed: int) -> "AppendOnly":
        """A state after `earlier`; after the last rewrite of the file, if that was later."""
        first = earlier.size if earlier.file == self.file else 0
        return AppendOnly(self.file, random.Random(seed).randint(min(first, self.size), self.size))
