"""What a curation is asked to do, and what it says when it is done."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from config.records import JsonObject
from worker.curate.seed_text import SHUFFLE_SEED, TRAIN_SHARE

Format = Literal["text", "turns", "seed-text"]
SplitBy = Literal["prompt", "workspace"]
FORMATS: tuple[Format, ...] = ("text", "turns", "seed-text")
MAX_CALLS = 8  # the seed's target is 1 to 3 calls; twice and more is a search a student may still learn from


@dataclass(frozen=True)
class Options:
    """Everything that decides a dataset's bytes, besides the trajectories and the student."""

    format: Format = "text"
    max_seq_length: int = 2048
    """tokens of one training row"""
    valid_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    max_calls: int = MAX_CALLS
    no_tools_share: float | None = None
    """examples without tools are sampled down to this share; None leaves them alone"""
    split_by: SplitBy = "prompt"
    source_run: str | None = None
    parquet: bool = False
    """the rows of `turns` also as parquet files"""
    system_prompt: str | None = None
    """of every row; None leaves each its own. `text` and `turns` take it only where the record has no other"""

    def __post_init__(self) -> None:
        if self.parquet and self.format != "turns":
            raise ValueError("parquet files hold the rows of turns")

    def applied(self) -> JsonObject:
        """As JSON, with what was really done: seed-text has a split of its own and measures no tokens."""
        if self.format != "seed-text":
            return asdict(self)
        shares = {"valid_share": round(1 - TRAIN_SHARE, 6), "test_share": 0.0}
        return {**asdict(self), **shares, "seed": SHUFFLE_SEED, "split_by": None, "max_seq_length": None}


@dataclass(frozen=True)
class Summary:
    """The counts of one curation; `read == kept + rejected` always."""

    read: int
    kept: int
    rejected: int
    reasons: Mapping[str, int]
    """trajectories per rejection reason; one with two reasons counts in both"""
    with_tools: int
    """kept, with tools and real results"""
    without_tools: int
    """kept, answered without tools"""
    skipped: int
    """rejected for results that are missing, null or stand for nothing"""
    splits: Mapping[str, int]
    """rows per split"""
    content_hash: str
    by_category: Mapping[str, int] = field(default_factory=dict)
    by_tool: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    """max_seq_length -> how many over-long trajectories it would have kept"""
    warnings: tuple[str, ...] = ()
    loss_proof: JsonObject = field(default_factory=dict)
    broken: int = 0
    """lines that could not be read; they are not among `read`"""

    def as_json(self) -> JsonObject:
        """As JSON, under the contract's keys."""
        found: JsonObject = asdict(self)
        return {**found, "warnings": list(self.warnings)}
