"""Grading of answers: what an answer asserts, and whether that is the expected number, names, paths or text."""
