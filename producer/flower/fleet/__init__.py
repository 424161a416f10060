"""The Fleet page: every worker in words, with buttons that pause, resume and drain it."""
