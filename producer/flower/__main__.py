"""Start Flower for the running stack or the settings' Redis: `python -m producer.flower [--address A] [--port P]`."""

from typing import Annotated

import typer

from config.exit_codes import run
from config.settings import settings
from producer.flower.serve import ADDRESS, PORT, serve
from producer.output import Output

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def start(
    address: Annotated[str, typer.Option(help="Address to listen on.")] = ADDRESS,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = PORT,
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    serve(settings(), address=address, port=port, output=Output(as_json=False))


if __name__ == "__main__":
    run(lambda: app(prog_name="python -m producer.flower", standalone_mode=False), interrupted="interrupted")
