"""The evaluation report: model, metrics and table rows."""
