"""The files of `applejack deploy monitoring`: Prometheus, its alert rules and its token, and a Grafana dashboard."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from config.errors import UsageError
from producer.deploy.service import TEMPLATES

TOKEN = "APPLEJACK_METRICS_TOKEN"  # noqa: S105 - a variable's name
TOKEN_FILE = "metrics-token"  # noqa: S105 - a file's name, mode 600
RULES = "applejack.rules.yml"
DASHBOARD = "grafana-applejack.json"


@dataclass(frozen=True)
class Monitoring:
    """Texts of the files in `folder`; none contains the token."""

    folder: Path

    @property
    def token_file(self) -> Path:
        """Private file that contains the token and nothing else, for Prometheus."""
        return self.folder / TOKEN_FILE

    def texts(self) -> Mapping[str, str]:
        """File name -> text."""
        source = TEMPLATES / "monitoring"
        paths = {"rules": str(self.folder / RULES), "token_file": str(self.token_file)}
        return {
            "prometheus.yml": Template((source / "prometheus.yml").read_text()).substitute(
                {name: quoted(path) for name, path in paths.items()}
            ),
            RULES: (source / RULES).read_text(),
            DASHBOARD: (source / DASHBOARD).read_text(),
        }

    def known_token(self) -> str:
        """The token of an earlier installation; "" without one. UsageError if it cannot be read."""
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{str(self.token_file)!r} cannot be read ({error}); remove it for a new one") from error

    def give_token_to(self, env_file: Path) -> str:
        """Shell command that adds the token to the file of Flower's secrets, without showing it."""
        token, env = shlex.quote(str(self.token_file)), shlex.quote(str(env_file))
        return f"""(umask 077; printf '{TOKEN}=%s\\n' "$(cat {token})" >> {env})"""

    def start(self) -> str:
        """Shell command that starts Prometheus in the foreground, on loopback."""
        config = shlex.quote(str(self.folder / "prometheus.yml"))
        data = shlex.quote(str(self.folder / "data"))
        return f"prometheus --config.file={config} --storage.tsdb.path={data} --web.listen-address=127.0.0.1:9090"

    def notes(self) -> tuple[str, ...]:
        """What a person does with the files."""
        return (
            f"check the files: promtool check config {shlex.quote(str(self.folder / 'prometheus.yml'))}",
            f"dashboard: Grafana > Dashboards > New > Import > {self.folder / DASHBOARD}",
            "docs/monitoring.md describes the metrics and alerts",
        )


def quoted(path: str) -> str:
    """A path as a YAML string."""
    return "'" + path.replace("'", "''") + "'"
