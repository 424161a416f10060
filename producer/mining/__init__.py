"""Mines questions with known answers from code."""
