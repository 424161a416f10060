import json
from collections import Counter
from pathlib import Path

from config.questions.expected_facts import grade

LABELLED = Path(__file__).parent.parent / "data" / "labelled_answers.jsonl"


def test_grading_agrees_with_readers() -> None:
    records = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    agreed: Counter[tuple[str, bool]] = Counter()
    for record in records:
        graded = grade(record["typed"], record["answer"], question=record["question"]).correct
        if record["correct"][0] is record["correct"][1] and graded is not None:
            agreed[record["source"], graded is record["correct"][0]] += 1
    for source, least in (("model", 95), ("constructed", 95)):
        right, wrong = agreed[source, True], agreed[source, False]
        assert right + wrong >= least
        assert right >= 0.95 * (right + wrong), (source, right, wrong)
