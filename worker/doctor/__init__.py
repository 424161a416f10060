"""The worker's part of `applejack doctor`: this host and a student."""
