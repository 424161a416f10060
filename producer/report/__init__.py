"""Format a report as a terminal table or an HTML page."""
