"""The tools over the code of one pin, with the results of the latest calls."""

import json
from functools import lru_cache

from config.records import TOOL_NAMES
from worker.curate.replay.difference import Result
from worker.tools import toolset
from worker.tools.patterns import RefusedError
from worker.tools.tools import is_unfinished
from worker.tools.workspace import Workspace

RESULTS = 4096  # kept per pin; a result has at most 4 KB
TIMED_OUT_CALLS = 6  # per pin, then its calls are not replayed: each takes the tools' limit of 10 s


class PinnedCode:
    """The tools over one pinned workspace, with the results of the latest calls."""

    def __init__(self, workspace: Workspace) -> None:
        self._tools = toolset.build(workspace, names=TOOL_NAMES)
        self._open_tools = toolset.build(workspace, names=TOOL_NAMES, allow_files=("*",), mask_secrets=False)
        self._timed_out = 0
        self.run = lru_cache(maxsize=RESULTS)(self._run)

    def _run(self, name: str, arguments: str, *, with_secrets: bool = False) -> Result | None:
        """The result of a call with its arguments as JSON; None if it reached the time limit, or others did too often.

        The arguments are in the recorded order, because an error names the first bad one. Raises WorkspaceError if the
        code is no longer that of the pin.
        """
        if self._timed_out >= TIMED_OUT_CALLS:
            return None
        try:
            tools = self._open_tools if with_secrets else self._tools
            result = Result(tools[name](json.loads(arguments)), is_error=False)
        except RefusedError as refused:
            result = Result(str(refused), is_error=True)
        if is_unfinished(result.text):
            self._timed_out += 1
            return None
        return result
