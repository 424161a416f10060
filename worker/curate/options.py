"""Options and summary of a curation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from config.records import JsonObject
from worker.curate.seed_text import SHUFFLE_SEED, TRAIN_SHARE

Format = Literal["text", "turns", "seed-text"]
SplitBy = Literal["auto", "prompt", "workspace"]
FORMATS: tuple[Format, ...] = ("text", "turns", "seed-text")
SPLITS_BY: tuple[SplitBy, ...] = ("auto", "prompt", "workspace")
MAX_CALLS = 8  # the seed's target is 1 to 3; longer searches are still useful for training


@dataclass(frozen=True)
class Options:
    """Options that, with the trajectories and the student, determine the dataset's bytes."""

    format: Format = "text"
    max_seq_length: int = 2048
    """maximum tokens of one training row"""
    valid_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    max_calls: int = MAX_CALLS
    keep_wrong: bool = False
    """keep answers that contradict their prompt's `expect`"""
    no_tools_share: float | None = None
    """examples without tools are sampled down to this share; None keeps all"""
    split_by: SplitBy = "auto"
    """prompt; workspace: each codebase in one split; auto: as prompt, with whole codebases held out where they fit"""
    source_run: str | None = None
    parquet: bool = False
    """also write the rows of `turns` as parquet files"""
    system_prompt: str | None = None
    """system prompt of every row; None keeps the recorded ones. Only seed-text replaces a different recorded one"""

    def __post_init__(self) -> None:
        if self.parquet and self.format != "turns":
            raise ValueError("parquet=True needs format='turns'")

    def applied(self) -> JsonObject:
        """The effective options as JSON: seed-text has its own split and no token limit."""
        if self.format != "seed-text":
            return asdict(self)
        shares = {"valid_share": round(1 - TRAIN_SHARE, 6), "test_share": 0.0}
        return {**asdict(self), **shares, "seed": SHUFFLE_SEED, "split_by": None, "max_seq_length": None}


@dataclass(frozen=True)
class Summary:
    """Counts of one curation. `read` is always `kept + rejected`."""

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
    """rejected for missing, null or placeholder results"""
    correct: Mapping[str, int]
    """{"count", "of"}: right answers, of all completed trajectories whose prompt has an `expect`"""
    kept_correct: Mapping[str, int]
    """the same of the kept ones; they differ only with `keep_wrong`"""
    splits: Mapping[str, int]
    """rows per split"""
    content_hash: str
    by_category: Mapping[str, int] = field(default_factory=dict)
    by_tool: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    """max_seq_length -> number of over-long trajectories that it would keep"""
    warnings: tuple[str, ...] = ()
    loss_proof: JsonObject = field(default_factory=dict)
    replayed: JsonObject | None = None
    """{calls, matched, differing: calls; not_replayed: {cause: trajectories}}; None if replay was off"""
    broken: int = 0
    """unreadable lines; not counted in `read`"""

    def as_json(self) -> JsonObject:
        """The JSON object that `--json` prints."""
        found: JsonObject = asdict(self)
        return {**found, "warnings": list(self.warnings)}
