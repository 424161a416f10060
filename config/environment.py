"""The environment of programs that are not applejack: without applejack's settings, which hold passwords."""

import os
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "APPLEJACK_"
HUB_TOKENS: Final = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN"})


def outside_environment(environment: Mapping[str, str] | None = None, *, hub: bool = False) -> dict[str, str]:
    """This process's or the given environment, for a program that needs no setting: git, Redis, a trainer, mlx.

    `hub`: with the tokens of the model hub, for a program that downloads models.
    """
    return {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if not name.startswith(PREFIX) and (hub or name not in HUB_TOKENS)
    }
