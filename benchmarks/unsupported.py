"""Measures precision and recall of unsupported_claim: python benchmarks/unsupported.py [--each N]

The labels are known by construction: sound trajectories over real code, and the same ones with an unsupported answer.
Sound answers include hard cases: denials, reported errors, corrected paths, counts and listings.
"""

import argparse
import importlib.util
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.claims import CLAIMS
from benchmarks.mutate import Fault, answer, cut_result, emptied, invented_file, invented_symbols, wrong_count
from benchmarks.sound import sound
from config.errors import RejectionReason
from config.records import Trajectory
from worker.curate.checks.unsupported import unsupported_claim

KINDS: dict[str, Fault] = {
    "sure answer after no matches": emptied("no matches in 214 files"),
    "sure answer after exit code 1": emptied("exit code 1"),
    "file that is not in any result": invented_file,
    "symbols that are not in any result": invented_symbols,
    "count that no result supports": wrong_count,
    "needed part of the result cut off": cut_result,
    "one invented symbol beside the truth": answer(lambda text: f"{text} It extends `ShadowBroker` too.", tools=True),
    "two invented symbols in prose": answer(
        lambda text: f"{text} Compare make_shadow_copy and PhantomConsumer.", tools=True
    ),
    "another folder's file": answer(lambda text: f"{text} The same is in celery/phantoms/base.py.", tools=True),
    **CLAIMS,
}


def main() -> None:
    """Print the table of kinds, then precision and recall over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, help="code that the questions are about; default: the installed celery")
    parser.add_argument("--sound", type=int, default=400, help="number of sound trajectories")
    parser.add_argument("--each", type=int, default=40, help="trajectories per kind of fault")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--missed", action="store_true", help="also print the unsupported answers that pass")
    options = parser.parse_args()
    spec = importlib.util.find_spec("celery")
    assert options.code or spec
    code = options.code or Path(str(spec.origin)).parent
    whole = list(sound(code, options.sound, seed=options.seed))
    false = [sample for sample in whole if flagged(sample)]
    rng = random.Random(options.seed)
    caught = planted = 0
    print(f"{'planted':38} caught total")
    for kind, fault in KINDS.items():
        samples = [broken for sample in rng.sample(whole, len(whole)) if (broken := fault(sample, rng, whole))][
            : options.each
        ]
        found = sum(map(flagged, samples))
        caught, planted = caught + found, planted + len(samples)
        print(f"{kind:38} {found:6} {len(samples):5}")
        for sample in samples if options.missed else ():
            if not flagged(sample):
                print(f"missed: {kind}: {sample.prompt} {sample.answer!r}", file=sys.stderr)
    precision = caught / (caught + len(false)) if caught else 0.0
    print(f"{len(whole)} sound, {planted} unsupported: precision {precision:.3f}, recall {caught / planted:.3f}")
    for sample in false:
        print(f"wrongly flagged: {sample.job_id} {sample.answer!r}", file=sys.stderr)


def flagged(sample: Trajectory) -> bool:
    """Whether the check flags the sample."""
    return any(finding.reason is RejectionReason.UNSUPPORTED_CLAIM for finding in unsupported_claim(sample))


if __name__ == "__main__":
    main()
