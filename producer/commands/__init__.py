"""The commands of `applejack`, one file per thing they are about; producer/cli.py puts them together."""
