"""Precision and recall of the detector of secrets: python -m benchmarks.secret_detection [--count 340] [--seed 1]

Plants secrets of many kinds, drawn in the formats that their issuers document, among innocent lines that look like
them. A planted one counts as found if what is masked covers most of it. With detect-secrets installed (it is no
dependency) its plugins are measured on the same lines. Prints both with 95% intervals, and what was missed.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable

from config.report.metrics import Rate
from tests.support.secret_samples import innocent, planted
from worker.secrets import find_secrets

Find = Callable[[str], list[str]]
COVERED = 0.6  # of the secret's characters


def ours(text: str) -> list[str]:
    """What applejack finds."""
    return [text[secret.start : secret.end] for secret in find_secrets(text)]


def theirs() -> Find | None:
    """detect-secrets with its default plugins, on a file; None if it is not installed."""
    try:
        from detect_secrets import SecretsCollection
        from detect_secrets.settings import default_settings
    except ImportError:
        return None

    def find(text: str) -> list[str]:
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file, default_settings():
            file.write(text)
            file.flush()
            found = SecretsCollection()
            found.scan_file(file.name)
            return [str(secret.secret_value) for _, secret in found]

    return find


def covers(found: list[str], secret: str) -> bool:
    """Whether one of the findings is the secret, or most of it."""
    return any((part in secret and len(part) >= COVERED * len(secret)) or secret in part for part in found)


def measure(find: Find, count: int, seed: int) -> dict[str, object]:
    """Precision and recall on `count` planted and `count` innocent lines."""
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for kind, line, secret in planted(count, seed):
        if not covers(find(line), secret):
            missed[kind] += 1
    for kind, line in innocent(count, seed):
        if find(line):
            wrong[kind] += 1
    hit = count - missed.total()
    return {
        "recall": Rate(count=hit, of=count).model_dump(),
        "precision": Rate(count=hit, of=hit + wrong.total()).model_dump(),
        "missed": dict(missed),
        "wrong": dict(wrong),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=340, help="planted and innocent lines, each")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    results = {"applejack": measure(ours, given.count, given.seed)}
    if other := theirs():
        results["detect-secrets"] = measure(other, given.count, given.seed)
    for name, seen in results.items():
        print(name)
        for what, value in seen.items():
            print(f"  {what}: {value}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
