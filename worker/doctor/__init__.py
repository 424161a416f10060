"""The worker's part of `applejack doctor`: checks of this host and of a student."""
