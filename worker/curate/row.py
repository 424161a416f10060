"""What is remembered of one trajectory between reading it and writing the dataset; its words lie in the spool."""

import hashlib
import json
from dataclasses import dataclass, field

from config.errors import RejectionReason, UsageError
from config.records import Finding, Prompt, Split, Trajectory, Verdict
from worker.curate import seed_text
from worker.curate.checks import Check, findings
from worker.curate.dedup import Fingerprint, fingerprint
from worker.curate.loss_mask import Losses, losses
from worker.curate.numeric_answer import NumericAnswer, numeric_answer
from worker.curate.options import Options
from worker.curate.render import Rendered, render_text, render_turns, row_bytes
from worker.curate.split import SplitItem, group_keys, normalised, workspace_of
from worker.curate.spool import Span, Spool
from worker.student.tokenizer import RenderError, Student

UNREAL_REASONS = frozenset(
    {RejectionReason.NULL_RESULT, RejectionReason.PLACEHOLDER_RESULT, RejectionReason.UNPAIRED_RESULT}
)  # the user's guide counts these as "with tools and no results (skipped)"

SHOWN = 60  # characters of a system prompt in a message
HAPPENED = {"run_id", "attempt", "seconds", "usage", "failure", "provenance"}  # differ where the content does not


@dataclass(slots=True)
class CuratedRow:
    """One trajectory, about 2 KB."""

    order: bytes
    """hash of its content: the order of everything, whatever the order it came in and whoever made it"""
    job_id: str
    run_id: str
    category: str
    workspace: str
    pinned: str
    """the workspace as a prompt names it, PATH or PATH@COMMIT"""
    teacher: str
    """who answered, as the endpoint calls it; "" when it was not recorded"""
    toolset: str
    tools: tuple[str, ...]
    """the name of every call"""
    member: SplitItem
    print_: Fingerprint
    prompt: Span
    claim: NumericAnswer | None
    """what the answer counts, to be compared with answers to the same question"""
    rows: tuple[Span, ...] = ()
    tokens: int = 0
    """of its longest row"""
    losses: Losses = field(default_factory=Losses)
    turns: int = 0
    findings: list[Finding] = field(default_factory=list)
    split: Split | None = None
    lines: list[int] = field(default_factory=list)
    """of its rows in the split's file, counted from 1"""

    @property
    def kept(self) -> bool:
        """Nothing was found against it."""
        return not self.findings

    @property
    def verdict(self) -> Verdict:
        """What was decided."""
        return Verdict(job_id=self.job_id, findings=tuple(self.findings), split=self.split, rows=tuple(self.lines))

    @property
    def skipped(self) -> bool:
        """Its results are not real."""
        return any(finding.reason in UNREAL_REASONS for finding in self.findings)

    def reject(self, reason: RejectionReason, detail: str) -> None:
        """Add a finding that only the whole set shows."""
        self.findings.append(Finding(reason=reason, detail=detail))


def read_row(
    trajectory: Trajectory, *, checks: tuple[Check, ...], options: Options, student: Student | None, spool: Spool
) -> CuratedRow:
    """Check and render one trajectory. UsageError when it has another system prompt than the options ask for."""
    trajectory = _with_system_prompt(trajectory, options)
    pin = trajectory.provenance
    entry = CuratedRow(
        order=hashlib.sha256(f"{options.seed} ".encode() + canonical(trajectory)).digest(),
        job_id=trajectory.job_id,
        run_id=trajectory.run_id,
        category=trajectory.category,
        workspace=workspace_of(trajectory),
        pinned=_pinned(trajectory),
        teacher=pin.teacher if pin else "",
        toolset=pin.toolset_digest if pin else "",
        tools=tuple(call.name for call in trajectory.tool_calls),
        member=SplitItem(
            prompt=normalised(trajectory.prompt),
            keys=group_keys(trajectory, by_workspace=options.split_by == "workspace"),
            asked=trajectory.split,
        ),
        print_=fingerprint(trajectory),
        prompt=spool.put(_held_out(trajectory)),
        claim=numeric_answer(trajectory),
        turns=sum(message.role == "assistant" for message in trajectory.messages),
        findings=list(findings(trajectory, checks)),
    )
    if options.format == "seed-text":
        _render_seed(entry, trajectory, spool)
    elif student is not None and trajectory.messages:
        _render(entry, trajectory, options, student, spool)
    return entry


def canonical(trajectory: Trajectory) -> bytes:
    """What was asked and said, the same whatever the order of keys in its file, and whichever worker made it when."""
    content = trajectory.model_dump(mode="json", exclude=HAPPENED)
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def _render(entry: CuratedRow, trajectory: Trajectory, options: Options, student: Student, spool: Spool) -> None:
    try:
        rendered: Rendered = (render_turns if options.format == "turns" else render_text)(trajectory, student)
    except RenderError as error:
        if entry.kept:  # a broken conversation has its reasons already
            entry.reject(RejectionReason.MALFORMED, str(error)[:300])
        return
    if not rendered.rows:
        if entry.kept:
            entry.reject(RejectionReason.MALFORMED, "no assistant turn is left to learn from")
        return
    entry.tokens = max(rendered.lengths)
    entry.losses = losses(rendered, student, max_seq_length=options.max_seq_length)
    if entry.tokens > options.max_seq_length:
        entry.reject(
            RejectionReason.OVER_LENGTH,
            f"{entry.tokens} tokens with the student's tokenizer, {options.max_seq_length} are allowed",
        )
    if entry.kept:
        entry.rows = tuple(spool.put(row_bytes(row)) for row in rendered.rows)


def _render_seed(entry: CuratedRow, trajectory: Trajectory, spool: Spool) -> None:
    if entry.kept:
        text = seed_text.render(trajectory, seed_text.system_line(trajectory))
        entry.rows = (spool.put(row_bytes({"text": text})),)


def _pinned(trajectory: Trajectory) -> str:
    pin = trajectory.provenance.workspace if trajectory.provenance else None
    if pin is None:
        return ""
    return f"{pin.origin}@{pin.commit}" if pin.commit else pin.origin


def _held_out(trajectory: Trajectory) -> bytes:
    """The question again, as evaluation asks it, with the job that it comes from."""
    prompt = Prompt(
        prompt=trajectory.prompt or " ",
        category=trajectory.category,
        requires_tools=trajectory.requires_tools,
        expect=trajectory.expect,
        split=trajectory.split,
    )
    return json.dumps({**prompt.model_dump(mode="json"), "job_id": trajectory.job_id}, ensure_ascii=False).encode()


def _with_system_prompt(trajectory: Trajectory, options: Options) -> Trajectory:
    """The trajectory with the system prompt that the options give; in seed-text it replaces any other."""
    wanted, recorded = options.system_prompt, trajectory.system_prompt
    if wanted is None or wanted == recorded:
        return trajectory
    if recorded and options.format != "seed-text":
        raise UsageError(
            f"job {trajectory.job_id!r} was recorded with the system prompt {recorded[:SHOWN]!r}; leave "
            "--system-prompt out to keep it, or use --format seed-text, which replaces it"
        )
    return trajectory.model_copy(update={"system_prompt": wanted})
