"""The agent: the only importer of pydantic-ai. A teacher and a conversation come out, in config's own records."""

from worker.generate.agent.conversation import Conversation, converse
from worker.generate.agent.teacher import Teacher, endpoint_teacher

__all__ = ["Conversation", "Teacher", "converse", "endpoint_teacher"]
