"""The evaluation report: its model, its metrics and its rows."""
