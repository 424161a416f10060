"""One evening on one machine, with a process killed in every step."""
