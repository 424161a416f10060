"""Tells people what happens to runs: `--notify URL|COMMAND`. docs/notifications.md describes it for users."""
