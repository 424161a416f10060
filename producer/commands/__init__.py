"""The commands of `applejack`, grouped by topic; producer/cli.py registers them."""
