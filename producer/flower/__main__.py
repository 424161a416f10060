"""Start Flower for the running stack or the settings' Redis: `python -m producer.flower [--address A] [--port P]`."""

import argparse
import sys

from config.errors import ApplejackError
from config.settings import settings
from producer.flower.serve import ADDRESS, PORT, serve


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when it cannot be started as asked."""
    parser = argparse.ArgumentParser(prog="python -m producer.flower", description=__doc__)
    parser.add_argument("--address", default=ADDRESS, help=f"address to listen on (default {ADDRESS}, this machine)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on (default {PORT})")
    asked = parser.parse_args()
    try:
        serve(settings(), address=asked.address, port=asked.port, tell=lambda line: print(line, flush=True))
    except ApplejackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
