"""Questions: the wording of mined questions, general knowledge, and the expected facts of an answer."""
