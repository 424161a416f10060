"""Metadata of one trajectory during curation. Its text is in the spool file."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache

from config.errors import RejectionReason, UsageError
from config.records import Finding, Pin, Prompt, Split, Trajectory, Verdict
from worker.curate import seed_text
from worker.curate.checks import Check, findings
from worker.curate.checks.answers import is_correct
from worker.curate.dedup import Fingerprint, fingerprint
from worker.curate.loss_mask import Losses, losses
from worker.curate.numeric_answer import NumericAnswer, numeric_answer
from worker.curate.options import Options
from worker.curate.proof_causes import causes
from worker.curate.render import Rendered, render_text, render_turns, row_bytes
from worker.curate.review.marks import content_hash
from worker.curate.split import SplitItem, split_item, workspace_of
from worker.curate.spool import Span, Spool
from worker.student.tokenizer import RenderError, Student

UNREAL_REASONS = frozenset(
    {RejectionReason.NULL_RESULT, RejectionReason.PLACEHOLDER_RESULT, RejectionReason.UNPAIRED_RESULT}
)  # counted as "with tools and no results (skipped)"

SHOWN = 60  # characters of a system prompt in an error message
VOLATILE_FIELDS = {"run_id", "attempt", "seconds", "timing", "usage", "failure", "provenance"}  # not the content


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """The system prompt of one trajectory, without most of its text."""

    digest: bytes
    start: str
    recorded_here: bool
    """recorded by applejack, which sends the prompt of the run's spec in every job"""

    @property
    def recorded(self) -> bool:
        """False where a foreign record has none."""
        return bool(self.start) or self.recorded_here


@dataclass(slots=True)
class CuratedRow:
    """Metadata of one trajectory, about 2 KB."""

    order: bytes
    """hash of the content; sorts the output independently of input order and worker"""
    job_id: str
    run_id: str
    category: str
    workspace: str
    pin: Pin | None
    """the version of the code that the tools read; rows share it"""
    teacher: str
    """the teacher's model name at its endpoint; "" if not recorded"""
    toolset: str
    tools: tuple[str, ...]
    """tool names, one per call"""
    member: SplitItem
    print_: Fingerprint
    prompt: Span
    system: SystemPrompt
    content: str
    """content hash of the review: what a person's mark is about"""
    claim: NumericAnswer | None
    """the number in the answer, compared with other answers to the same question"""
    correct: bool | None = None
    """whether the answer has the facts of the prompt's `expect`; None if nothing is expected or the rollout failed"""
    rows: tuple[Span, ...] = ()
    tokens: int = 0
    """tokens of the longest row"""
    losses: Losses = field(default_factory=Losses)
    unproven: dict[str, str] = field(default_factory=dict)
    """why the loss proof rejects it: cause -> evidence"""
    turns: int = 0
    lost_calls: int = 0
    """turns whose call the model server dropped"""
    findings: list[Finding] = field(default_factory=list)
    split: Split | None = None
    lines: list[int] = field(default_factory=list)
    """line numbers of the rows in the split's file, counted from 1"""

    @property
    def pinned(self) -> str:
        """The workspace in the form that a prompt uses: PATH or PATH@COMMIT; "" if it is not recorded."""
        if self.pin is None:
            return ""
        return f"{self.pin.origin}@{self.pin.commit}" if self.pin.commit else self.pin.origin

    @property
    def kept(self) -> bool:
        """True if there are no findings."""
        return not self.findings

    @property
    def verdict(self) -> Verdict:
        """The findings, the split and the row numbers."""
        return Verdict(job_id=self.job_id, findings=tuple(self.findings), split=self.split, rows=tuple(self.lines))

    @property
    def skipped(self) -> bool:
        """True if a tool result is missing, null or a placeholder."""
        return any(finding.reason in UNREAL_REASONS for finding in self.findings)

    def reject(self, reason: RejectionReason, detail: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(reason=reason, detail=detail))


def read_row(
    trajectory: Trajectory, *, checks: tuple[Check, ...], options: Options, student: Student | None, spool: Spool
) -> CuratedRow:
    """Check and render one trajectory. Raises UsageError if its system prompt differs from the one in the options."""
    trajectory = _with_system_prompt(trajectory, options)
    pin = trajectory.provenance
    entry = CuratedRow(
        order=hashlib.sha256(f"{options.seed} ".encode() + canonical(trajectory)).digest(),
        job_id=trajectory.job_id,
        run_id=trajectory.run_id,
        category=trajectory.category,
        workspace=workspace_of(trajectory),
        pin=_shared(pin.workspace) if pin and pin.workspace else None,
        teacher=pin.teacher if pin else "",
        toolset=pin.toolset_digest if pin else "",
        tools=tuple(call.name for call in trajectory.tool_calls),
        member=split_item(trajectory),
        print_=fingerprint(trajectory),
        prompt=spool.put(_held_out(trajectory)),
        system=SystemPrompt(
            digest=hashlib.sha256(trajectory.system_prompt.encode()).digest()[:16],
            start=trajectory.system_prompt[:SHOWN],
            recorded_here=pin is not None,
        ),
        content=content_hash(trajectory),
        claim=numeric_answer(trajectory),
        correct=is_correct(trajectory),
        turns=sum(message.role == "assistant" for message in trajectory.messages),
        lost_calls=trajectory.lost_calls,
        findings=list(findings(trajectory, checks)),
    )
    if options.format == "seed-text":
        _render_seed(entry, trajectory, spool)
    elif student is not None and trajectory.messages:
        _render(entry, trajectory, options, student, spool)
    return entry


def canonical(trajectory: Trajectory) -> bytes:
    """The content as JSON with sorted keys, without run, timing and provenance."""
    content = trajectory.model_dump(mode="json", exclude=VOLATILE_FIELDS)
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def _render(entry: CuratedRow, trajectory: Trajectory, options: Options, student: Student, spool: Spool) -> None:
    try:
        rendered: Rendered = (render_turns if options.format == "turns" else render_text)(trajectory, student)
    except RenderError as error:
        if entry.kept:  # a rejected trajectory already has a reason
            entry.reject(RejectionReason.MALFORMED, str(error)[:300])
        return
    if not rendered.rows:
        if entry.kept:
            entry.reject(RejectionReason.MALFORMED, "no assistant turn is left to train on")
        return
    entry.tokens = max(rendered.lengths)
    entry.losses = losses(rendered, student, max_seq_length=options.max_seq_length)
    if entry.losses.prefix_mismatches or entry.losses.stop_tokens < entry.losses.turns:
        entry.unproven = causes(trajectory, rendered, student)
    if entry.tokens > options.max_seq_length:
        entry.reject(
            RejectionReason.OVER_LENGTH,
            f"{entry.tokens} tokens with the student's tokenizer; the limit is {options.max_seq_length}",
        )
    if entry.kept:
        entry.rows = tuple(spool.put(row_bytes(row)) for row in rendered.rows)


def _render_seed(entry: CuratedRow, trajectory: Trajectory, spool: Spool) -> None:
    if entry.kept:
        text = seed_text.render(trajectory, seed_text.system_line(trajectory))
        entry.rows = (spool.put(row_bytes({"text": text})),)


@lru_cache(maxsize=64)  # a set is about a few codebases; each row has its own equal pin
def _shared(pin: Pin) -> Pin:
    return pin


def _held_out(trajectory: Trajectory) -> bytes:
    """The prompt as a line of held_out.jsonl, with its job_id."""
    prompt = Prompt(
        prompt=trajectory.prompt or " ",
        category=trajectory.category,
        requires_tools=trajectory.requires_tools,
        expect=trajectory.expect,
        split=trajectory.split,
    )
    return json.dumps({**prompt.model_dump(mode="json"), "job_id": trajectory.job_id}, ensure_ascii=False).encode()


def _with_system_prompt(trajectory: Trajectory, options: Options) -> Trajectory:
    """The trajectory with the system prompt from the options; only seed-text replaces a recorded one."""
    wanted, recorded = options.system_prompt, trajectory.system_prompt
    if wanted is None or wanted == recorded:
        return trajectory
    if recorded and options.format != "seed-text":
        raise UsageError(
            f"job {trajectory.job_id!r} was recorded with the system prompt {recorded[:SHOWN]!r}; omit "
            "--system-prompt to keep it, or use --format seed-text, which replaces it"
        )
    return trajectory.model_copy(update={"system_prompt": wanted})
