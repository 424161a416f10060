"""The agent, and the only importer of pydantic-ai. Its results are records of config, not of pydantic-ai."""

from worker.generate.agent.agent_loop import Conversation, converse
from worker.generate.agent.teacher import Teacher, endpoint_teacher

__all__ = ["Conversation", "Teacher", "converse", "endpoint_teacher"]
