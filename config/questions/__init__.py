"""The wording of mined questions, general-knowledge questions, and the expected facts of an answer."""
