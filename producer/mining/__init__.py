"""Mine questions with known answers from code."""
