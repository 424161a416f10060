"""The Runs and Run pages.

Each module turns what the ledger holds into frozen view models of finished text, and the templates print only these.
"""
