"""Support: whether the results of a conversation hold what its answer asserts. Used by curation and by evaluation.

Evidence is the text that tools returned. The question, the system prompt and call arguments are not evidence.
"""
