"""The adapters of a run in words."""

import json

from config.ledger.adapters import AdapterVersion
from producer.run_status import RunStatus


def adapter_lines(status: RunStatus) -> list[str]:
    """The adapters of a run that has several, a line each."""
    if len(status.adapters) + (not any(found.current for found in status.adapters)) < 2:
        return []
    return [adapter_line(status.run_id, found) for found in status.adapters]


def adapter_line(run_id: str, found: AdapterVersion) -> str:
    """ "adapter night-1@v1: 207 iterations, loss 0.412, learning_rate=0.0001, with a report"."""
    facts = found.as_json()
    loss = f"loss {facts['train_loss']:.3f}" if isinstance(facts["train_loss"], float) else ""
    settings = [f"{key}={json.dumps(value)}" for key, value in found.lora.items()]
    reported = "with a report" if found.report else "without a report"
    parts = filter(None, (f"{facts['iterations']} iterations", loss, *settings, reported))
    return f"adapter {run_id}@v{found.version}{' (newest)' if found.current else ''}: {', '.join(parts)}"
