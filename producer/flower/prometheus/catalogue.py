"""Every metric that applejack adds to Flower's: kind, labels, meaning. docs/monitoring.md has the same table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RUN = ("run",)
WORKER = ("worker",)


@dataclass(frozen=True)
class Metric:
    """One metric. Counters end in _total."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["counter", "gauge"]:
        """Its type in the exposition format."""
        return "counter" if self.name.endswith("_total") else "gauge"


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("applejack_ledger_up", "Whether Flower can read the ledger; 0 leaves out every other metric."),
        Metric("applejack_ledger_read_seconds", "Time that this scrape took to read the ledger."),
        Metric("applejack_build_info", "Version of this Flower; always 1.", ("version",)),
        Metric("applejack_redis_memory_bytes", "Memory that Redis uses."),
        Metric("applejack_redis_memory_limit_bytes", "Redis' maxmemory; missing without one."),
        Metric("applejack_queue_messages", "Messages of a queue: ready, or unacked by the worker that has them.",
               ("queue", "state")),
        Metric("applejack_queue_consumers", "Live workers that take messages from a queue now.", ("queue",)),
        Metric("applejack_reconciler_elected", "Whether a worker is elected to send lost messages again."),
        Metric("applejack_worker_silent_seconds", "Time since a worker's last heartbeat.", WORKER),
        Metric("applejack_worker_holds", "Jobs and stages that a worker has in flight.", WORKER),
        Metric("applejack_worker_concurrency_limit", "Jobs that a generate worker may run at once.", WORKER),
        Metric("applejack_worker_tokens_per_second",
               "Tokens per second that a worker's endpoint generated for it in the last minute.", WORKER),
        Metric("applejack_worker_first_token_seconds", "Median time to the first token of its recent requests.",
               WORKER),
        Metric("applejack_worker_endpoint_up", "Whether a generate worker's endpoint serves, as far as it knows.",
               WORKER),
        Metric("applejack_worker_paused", "1 for each cause for which a worker takes no jobs; missing while it does.",
               ("worker", "cause")),
        Metric("applejack_worker_control", "1 for what a person has asked of a worker: go, paused or draining.",
               ("worker", "control")),
        Metric("applejack_worker_clock_skew_seconds", "A worker's clock minus the clock of Redis.", WORKER),
        Metric("applejack_worker_disk_free_bytes", "Free disk space in a worker's data directory.", WORKER),
        Metric("applejack_worker_memory_available_bytes", "Memory that a worker's machine has available.", WORKER),
        Metric("applejack_run_active", "Whether a run has pending work; a paused run has.", RUN),
        Metric("applejack_run_control", "1 for what a person has asked of a run: go, paused or cancelled.",
               ("run", "control")),
        Metric("applejack_run_jobs", "Jobs of a run by state.", ("run", "state")),
        Metric("applejack_run_failed_jobs", "Failed jobs of a run by kind of failure.", ("run", "kind")),
        Metric("applejack_run_jobs_finished_total", "Jobs that workers finished, each attempt counted.", RUN),
        Metric("applejack_run_jobs_per_second", "Jobs finished per second in the last two minutes.", RUN),
        Metric("applejack_run_time_left_seconds", "Time left of the generation or the training that runs now.", RUN),
        Metric("applejack_run_stage", "1 for the state of each stage of a run.", ("run", "stage", "state")),
        Metric("applejack_run_missing_worker", "1 for the queue that a run waits for and no live worker serves.",
               ("run", "queue")),
        Metric("applejack_run_examples", "Trajectories that the last curation kept and rejected.",
               ("run", "verdict")),
        Metric("applejack_run_rejections", "Trajectories that the last curation rejected, by reason; one may have "
               "several.", ("run", "reason")),
        Metric("applejack_training_iteration", "Iterations that the running training has done.", RUN),
        Metric("applejack_training_iterations", "Iterations that the running training will do.", RUN),
        Metric("applejack_training_loss", "Last loss of the running training, by split: train or valid.",
               ("run", "split")),
        Metric("applejack_training_tokens_per_second", "Tokens that the running training learns per second.", RUN),
        Metric("applejack_training_peak_memory_bytes", "Most memory that the running training has used.", RUN),
        Metric("applejack_training_diverged", "Whether the last training ended because a loss or a weight was not a "
               "finite number.", RUN),
    )
}  # fmt: skip
