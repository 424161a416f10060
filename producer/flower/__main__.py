"""Start Flower for the settings' Redis or a running stack: `python -m producer.flower [--address A] [--port P]`."""

from typing import Annotated

import typer

from config.exit_codes import run
from config.private_files import make_files_private
from config.settings import settings
from producer.flower.serve import ADDRESS, PORT, serve
from producer.output import Output

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def start(
    address: Annotated[str, typer.Option(help="Address to listen on.")] = ADDRESS,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free port.")] = PORT,
) -> None:
    """Start Flower with the Runs page. SIGTERM or Ctrl-C stops it."""
    serve(settings(), address=address, port=port, output=Output(as_json=False))


if __name__ == "__main__":
    make_files_private()
    run(lambda: app(prog_name="python -m producer.flower", standalone_mode=False), interrupted="interrupted")
