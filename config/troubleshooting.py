"""Which section of docs/troubleshooting.md explains a worker's pause or a finding of `applejack doctor`.

A pause is a text, also of workers of other versions, so it is recognised by its words.
"""

import re
from typing import Final

PAGE: Final = "docs/troubleshooting.md"
PAUSED: Final = "a-worker-is-paused"
"""the section for a pause that is not known"""
PERSON: Final = "paused-by-a-person"

PAUSES: Final = tuple(
    (re.compile(words), section)
    for words, section in (
        (
            r"\bby a person\b|\ba person lets\b|\bdrained by\b|\bdraining\b",
            PERSON,
        ),  # a worker's own reason may follow
        (r"\bMB free in ", "disk"),
        (r"^the model server (makes room|waits|starts if)", "device-busy"),
        (r"^the lock directory ", "lock-directory"),
        (r"^(downloading |.*\bthe hub\b|the download of )|is gated|has no revision|not a hub id", "model-download"),
        (r"needs .* GB .* but |memory ran out", "memory"),
        (r"^starting the server of ", "model-server"),
        (r"^the (model )?server (of|is) |is not (a model|an adapter) directory|mlx is not installed", "model-server"),
        (r"jobs in a row failed although", "jobs-fail-on-a-healthy-endpoint"),
        (r"^requested model .* (serves|answered)", "wrong-model"),
        (r"did not respond within|did not answer in time", "endpoint-wedged"),
        (r"cannot be reached|redirects to|not of the form|no answer from the endpoint", "endpoint-unreachable"),
        (r"\banswered \d+ with|the endpoint answered |sent more than ", "endpoint-error"),
        (r"^the ledger was unavailable", "redis"),
    )
)

FINDINGS: Final = {
    # the machine
    "platform": "python-and-packages", "rosetta": "python-and-packages", "intel_mac": "python-and-packages",
    "not_installed": "python-and-packages", "foreign_package": "python-and-packages",
    "shadowing_folder": "python-and-packages", "git_missing": "python-and-packages",
    "macos_old": "python-and-packages", "python_old": "python-and-packages", "python_of_xcode": "python-and-packages",
    "no_mlx": "mlx", "cpu_library_loaded": "mlx", "two_mlx_builds": "mlx", "slow_blas": "mlx",
    "dir_not_writable": "disk", "disk_full": "disk", "incomplete_downloads": "model-download",
    "no_hub_cache": "model-download", "small_memory": "memory", "few_descriptors": "open-files",
    "password_readable": "open-to-others", "flower_open": "open-to-others",
    "mac_sleeps": "sleep", "lid_closed": "sleep", "on_battery": "sleep", "low_power_mode": "sleep",
    "no_sandbox": "sandbox", "unsandboxed": "sandbox", "worker_unsandboxed": "sandbox", "worker_no_sandbox": "sandbox",
    "models_share_host": "device-busy", "lock_not_ours": "lock-directory", "lock_dir_private": "lock-directory",
    "lock_dirs_differ": "lock-directory",
    # Redis
    "redis_unreachable": "redis", "redis_password": "redis", "redis_old": "redis", "redis_eviction": "redis-loses-data",
    "redis_no_aof": "redis-loses-data", "redis_disk": "redis-loses-data", "redis_memory": "redis-loses-data",
    "redis_open": "open-to-others", "redis_plain": "open-to-others", "redis_shared": "foreign-messages",
    "redis_certificate": "redis",
    "queue_garbage": "foreign-messages", "dead_letters": "foreign-messages", "clock_skew": "clock",
    # the fleet
    "queue_unread": "no-worker-for-a-queue", "run_stranded": "no-worker-for-a-queue",
    "worker_silent": "a-worker-is-silent", "worker_paused": PAUSED, "worker_held": PERSON,
    "control_left": PERSON, "run_paused": PERSON, "run_cancelled": "cancelled-runs",
    "worker_version": "versions-and-settings-differ", "run_newer": "versions-and-settings-differ",
    "visibility_differs": "versions-and-settings-differ",
    "worker_doubled": "two-workers-of-one-name", "host_name_shared": "two-workers-of-one-name",
    "model_refused": "wrong-model", "workspace_refused": "workspace-refused",
    # the endpoint
    "endpoint_silent": "endpoint-unreachable", "endpoint_error": "endpoint-error",
    "endpoint_wrong_model": "wrong-model", "model_by_path": "wrong-model", "endpoint_no_models": "endpoint-error",
    "endpoint_tools_refused": "tool-calls", "endpoint_tools_ignored": "tool-calls", "endpoint_call_lost": "tool-calls",
    "endpoint_no_call": "tool-calls", "endpoint_result_unused": "tool-calls", "endpoint_context": "context-length",
}  # fmt: skip
STUDENT: Final = "student"
"""the section for all findings about a student"""


def pause_sections(reason: str) -> tuple[str, ...]:
    """The sections about a worker's pause: two if a person paused it and it has a reason of its own."""
    found = [section for words, section in PAUSES if words.search(reason)]
    return tuple(found[: 2 if found[:1] == [PERSON] else 1]) or (PAUSED,)


def pause_section(reason: str) -> str:
    """The first section about a worker's pause."""
    return pause_sections(reason)[0]


def finding_section(name: str, message: str = "") -> str:
    """The section about a finding; of a paused worker the one about its reason, which ends the message."""
    if name == "worker_paused":
        return pause_section(message.partition(" is paused: ")[2])
    return FINDINGS.get(name, STUDENT)


def link(section: str) -> str:
    """Where a person finds a section: "docs/troubleshooting.md#disk"."""
    return f"{PAGE}#{section}"


def pause_help(reason: str) -> str:
    """What to read and run about a worker's pause, in a few words."""
    return f"`applejack doctor`; {link(pause_section(reason))}"
