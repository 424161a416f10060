"""Models by hub id or directory: resolved to a snapshot on this machine, downloaded where missing."""
