"""Measures how many planted faults curation catches: python benchmarks/mutations.py [--code DIR] [--sound N] [--each N]

Sound trajectories come from real code and the real tools (benchmarks/sound.py). Each kind of fault is planted in some
of them, and the whole curate stage runs on the result. "caught" counts any reason, "named" only the expected one.
"""

import argparse
import importlib.util
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.mutate import KINDS, change, edit, tool_places
from benchmarks.sound import sound
from config.errors import RejectionReason
from config.records import Trajectory
from tests.support.tiny_student import make_tiny_student
from worker.curate.options import Options
from worker.curate.pipeline import Curated, curate

LENGTH = 16384  # the tiny student has one token per byte


def plant(all_sound: list[Trajectory], each: int, seed: int) -> dict[str, tuple[str, Trajectory]]:
    """job_id -> kind and broken trajectory. Each kind is planted in up to `each` trajectories."""
    rng = random.Random(seed)
    planted: dict[str, tuple[str, Trajectory]] = {}
    for kind, (_, fault) in KINDS.items():
        done = 0
        for place in rng.sample(range(len(all_sound)), len(all_sound)):
            broken = fault(all_sound[place], rng, all_sound)
            if broken is None or done == each:
                continue
            done += 1
            job_id = f"{kind}/{done}"
            planted[job_id] = (kind, change(broken, job_id=job_id))
    for number, whole in enumerate(rng.sample(all_sound, min(each, len(all_sound)))):
        planted[f"exact/{number}"] = ("the same again", change(whole, job_id=f"exact/{number}"))
        spaced = edit(whole, len(whole.messages) - 1, content=f"{whole.answer.upper()} ")
        planted[f"near/{number}"] = ("the same in capitals", change(spaced, job_id=f"near/{number}"))
        places = tool_places(whole)
        if places:
            long = edit(whole, places[-1], content=(whole.messages[places[-1]].content or "") + "\n[not shown]" * 2000)
            planted[f"long/{number}"] = ("longer than a row", change(long, job_id=f"long/{number}"))
    return planted


EXPECTED = {
    **{kind: reason for kind, (reason, _) in KINDS.items()},
    "the same again": RejectionReason.DUPLICATE,
    "the same in capitals": RejectionReason.DUPLICATE,
    "longer than a row": RejectionReason.OVER_LENGTH,
}


def run(trajectories: list[Trajectory], folder: Path) -> Curated:
    """Run the whole curate stage."""
    student = make_tiny_student(folder / "student")
    return curate(trajectories, out=folder / "out", options=Options(max_seq_length=LENGTH), student=student)


def main() -> None:
    """Print the table. Exit with 1 if less than 99% are caught, or more than 1% of the sound ones are rejected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, help="code that the questions are about; default: the installed celery")
    parser.add_argument("--sound", type=int, default=600, help="number of sound trajectories")
    parser.add_argument("--each", type=int, default=30, help="trajectories per kind of fault")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    spec = importlib.util.find_spec("celery")
    code = options.code or Path(str(spec.origin)).parent if spec else options.code
    all_sound = list(sound(code, options.sound, seed=options.seed))
    planted = plant(all_sound, options.each, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        clean = run(all_sound, Path(folder) / "clean")
        repeats = [whole for kind, whole in planted.values() if kind.startswith("the same")]
        kept = {v.job_id for v in clean.verdicts() if v.kept}
        mixed = run([*all_sound, *repeats], Path(folder) / "repeats")
        lone = [whole for kind, whole in planted.values() if not kind.startswith("the same")]
        verdicts = {}
        for start in range(0, len(lone), 500):  # without their sound originals, which would make them duplicates
            verdicts |= {v.job_id: v for v in run(lone[start : start + 500], Path(folder) / f"{start}").verdicts()}
        dropped = len(kept) + len(repeats) - sum(v.kept for v in mixed.verdicts())
    total, caught, named = Counter[str](), Counter[str](), Counter[str]()
    for job_id, (kind, _) in planted.items():
        total[kind] += 1
        if kind.startswith("the same"):
            continue
        found = [reason for reason in verdicts[job_id].reasons if reason is not RejectionReason.DUPLICATE]
        caught[kind] += bool(found)
        named[kind] += EXPECTED[kind] in found
        if not found:
            print(f"missed: {kind}: {job_id}", file=sys.stderr)
    for kind in ("the same again", "the same in capitals"):  # one of each pair is rejected, in either order
        caught[kind] = named[kind] = min(total[kind], dropped * total[kind] // max(1, len(repeats)))
    all_caught, everything = sum(caught.values()), sum(total.values())
    false = len(all_sound) - len(kept)
    print(f"{'kind':38} {'reason':24} caught named total")
    for kind in total:
        print(f"{kind:38} {EXPECTED[kind]:24} {caught[kind]:6} {named[kind]:5} {total[kind]:5}")
    print(f"{len(total)} kinds: {all_caught} of {everything} caught ({all_caught / everything:.2%})")
    print(f"sound: {false} of {len(all_sound)} rejected ({false / len(all_sound):.2%})")
    if options.json:
        print(json.dumps({"kinds": len(total), "caught": all_caught, "total": everything, "sound_rejected": false}))
    sys.exit(0 if all_caught >= 0.99 * everything and false <= 0.01 * len(all_sound) else 1)


if __name__ == "__main__":
    main()
