"""The control command by which `submit` asks live workers which models they have.

A worker answers while it runs jobs and while it is paused, but not while it sleeps.
"""

from collections.abc import Callable

from celery.worker.control import inspect_command

from config.records import JsonObject
from config.topology import MODELS_COMMAND

Answer = Callable[[str | None, str | None], JsonObject]
"""(teacher's model, student) -> what this worker knows about them"""


def register(answer: Answer) -> None:
    """Register the command in this process. It is called in the thread that receives messages, so it must be quick."""

    def models(_: object, teacher: str | None = None, student: str | None = None, **__: object) -> JsonObject:
        return answer(teacher, student)

    inspect_command(name=MODELS_COMMAND, args=[("teacher", str), ("student", str)], signature="[TEACHER] [STUDENT]")(
        models
    )
