"""The files of a role: services for launchd or systemd, Redis, Docker Compose; for `applejack deploy`."""
