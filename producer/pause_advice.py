"""What a worker's pause reason means and what to do about it.

A worker sends its reason as a sentence in its heartbeat, and workers of other versions may word it differently. The
sections are headings of docs/troubleshooting.md.
"""

from dataclasses import dataclass
from typing import Final

from config.troubleshooting import PAUSED, PERSON, link


@dataclass(frozen=True)
class Advice:
    """For a person who sees the reason."""

    section: str
    meaning: str
    remedy: str
    command: str = ""
    """finds the cause or ends the pause, with {endpoint} and {name} of the worker; "" if there is nothing to do"""

    @property
    def place(self) -> str:
        """Where there is more about it."""
        return link(self.section)


CHECK_ENDPOINT: Final = "applejack doctor --endpoint {endpoint}"
BY_ITSELF: Final = "The worker resumes by itself."
BY_SECTION: Final = {
    advice.section: advice
    for advice in (
        Advice(
            "disk",
            "Its disk has too little space for workspaces, logs and trajectories.",
            f"Free some space on that machine. {BY_ITSELF}",
            "applejack doctor",
        ),
        Advice(
            "device-busy",
            "A training or an evaluation uses the device of that machine, which runs one model at a time.",
            f"Nothing: the model server starts again once the device is free. {BY_ITSELF}",
        ),
        Advice(
            "lock-directory",
            "Its user cannot write to the directory by which the processes of that machine share the device.",
            "Let every user write to it, or set APPLEJACK_LOCK_DIR.",
            "applejack doctor",
        ),
        Advice(
            "model-download",
            "Its model is downloaded first, or the download failed.",
            f"Nothing while it makes progress. {BY_ITSELF}",
        ),
        Advice(
            "memory",
            "The model does not fit the memory of that machine.",
            "Give --serve a smaller model, or one with fewer bits.",
            "applejack doctor",
        ),
        Advice(
            "model-server",
            "Its own model server is starting or has died.",
            f"Nothing at first: it is restarted. If it stays so, read the server's log on that machine. {BY_ITSELF}",
            "applejack doctor",
        ),
        Advice(
            "jobs-fail-on-a-healthy-endpoint",
            "The endpoint passes its health checks, and yet job after job fails on it.",
            f"Read the server's log: requests may be too long for it, or too many. {BY_ITSELF}",
            CHECK_ENDPOINT,
        ),
        Advice(
            "wrong-model",
            "The endpoint serves another model than was requested.",
            f"Load the requested model there, or submit with the model that it serves. {BY_ITSELF}",
            CHECK_ENDPOINT,
        ),
        Advice(
            "endpoint-wedged",
            "The endpoint accepts requests but produces no token.",
            f"Restart the model server there. {BY_ITSELF}",
            CHECK_ENDPOINT,
        ),
        Advice(
            "endpoint-unreachable",
            "Nothing answers at the endpoint's address.",
            f"Start the model server there, or correct the worker's --endpoint. {BY_ITSELF}",
            CHECK_ENDPOINT,
        ),
        Advice(
            "endpoint-error",
            "The endpoint answers with an error.",
            f"Read the server's log, and check its model and key. {BY_ITSELF}",
            CHECK_ENDPOINT,
        ),
        Advice(
            "redis",
            "The ledger could not be read, so the worker does not know whether it may work.",
            f"Check Redis. {BY_ITSELF}",
            "applejack doctor",
        ),
        Advice(
            PERSON,
            "It ends the work that it holds and takes no other, also after a restart.",
            "Resume it when it may work again.",
            "applejack worker resume {name}",
        ),
        Advice(
            PAUSED,
            "It consumes no jobs for the reason above.",
            f"Remove the cause on that machine. {BY_ITSELF}",
            "applejack doctor",
        ),
    )
}
