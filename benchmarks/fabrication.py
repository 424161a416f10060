"""Precision and recall of fabricated_result: python benchmarks/fabrication.py [--each N]

Labels come from how a trajectory was made: sound ones over real code, and the same ones with an answer that asserts
what nothing supports. Sound answers include what tempts a rule: denials, honest errors, mended paths, counts, listings.
"""

import argparse
import importlib.util
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.mutate import Fault, answer, cut_result, emptied, invented_file, invented_symbols, wrong_count
from benchmarks.sound import sound
from config.errors import RejectionReason
from config.records import Trajectory
from worker.curate.checks.fabricated import fabricated_result

KINDS: dict[str, Fault] = {
    "sure answer after no matches": emptied("no matches in 214 files"),
    "sure answer after exit code 1": emptied("exit code 1"),
    "file that no result names": invented_file,
    "symbols that no result holds": invented_symbols,
    "count that no result gives": wrong_count,
    "what it needs was cut away": cut_result,
    "one stranger beside the truth": answer(lambda text: f"{text} It extends `ShadowBroker` too.", tools=True),
    "two strangers in prose": answer(lambda text: f"{text} Compare make_shadow_copy and PhantomConsumer.", tools=True),
    "another folder's file": answer(lambda text: f"{text} The same is in celery/phantoms/base.py.", tools=True),
}


def main() -> None:
    """Print the table of kinds, then precision and recall over all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, help="code to ask about; default: the installed celery")
    parser.add_argument("--sound", type=int, default=400)
    parser.add_argument("--each", type=int, default=40)
    parser.add_argument("--seed", type=int, default=11)
    asked = parser.parse_args()
    spec = importlib.util.find_spec("celery")
    assert asked.code or spec
    code = asked.code or Path(str(spec.origin)).parent
    whole = list(sound(code, asked.sound, seed=asked.seed))
    false = [sample for sample in whole if flagged(sample)]
    rng = random.Random(asked.seed)
    caught = planted = 0
    print(f"{'planted':34} caught total")
    for kind, fault in KINDS.items():
        made = [broken for sample in rng.sample(whole, len(whole)) if (broken := fault(sample, rng, whole))][
            : asked.each
        ]
        found = sum(map(flagged, made))
        caught, planted = caught + found, planted + len(made)
        print(f"{kind:34} {found:6} {len(made):5}")
    precision = caught / (caught + len(false)) if caught else 0.0
    print(f"{len(whole)} sound, {planted} fabricated: precision {precision:.3f}, recall {caught / planted:.3f}")
    for sample in false:
        print(f"wrongly flagged: {sample.job_id} {sample.answer!r}", file=sys.stderr)


def flagged(sample: Trajectory) -> bool:
    """The check alone fires."""
    return any(finding.reason is RejectionReason.FABRICATED_RESULT for finding in fabricated_result(sample))


if __name__ == "__main__":
    main()
