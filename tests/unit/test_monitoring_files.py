"""The files of `applejack deploy monitoring`: promtool accepts them, and they use no metric that does not exist."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from config.settings import Settings
from producer.deploy.env_file import values
from producer.deploy.install import install
from producer.deploy.monitoring import DASHBOARD, RULES, TOKEN, TOKEN_FILE
from producer.deploy.plan import Plan, Request, plan
from producer.flower.prometheus.catalogue import METRICS

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "config" / "deploy" / "monitoring"
TESTS = ROOT / "tests" / "data" / "monitoring" / "applejack.test.yml"
FOREIGN = {"up", "flower_events_total"}  # of Prometheus and Flower
WORDS = re.compile(r"[a-z_]+_[a-z_]+|\bup\b")
LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|group_left)\s*\([^)]*\)|\"[^\"]*\"")

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


def expressions() -> list[str]:
    """Every expression of the alert rules and of the dashboard."""
    [group] = yaml.safe_load((FILES / RULES).read_text())["groups"]
    dashboard = json.loads((FILES / DASHBOARD).read_text())
    variables = [str(variable["query"]) for variable in dashboard["templating"]["list"]]
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in group["rules"]), *panels, *re.findall(r"label_values\((\w+),", str(variables))]


def names(expression: str) -> set[str]:
    """The metrics of an expression."""
    return set(WORDS.findall(LABELS.sub("", expression)))


def monitoring(home: Path, **settings: object) -> Plan:
    return plan(Request("monitoring", Settings(dir=home / "data", **settings), "systemd", home=home))  # type: ignore[arg-type]


def test_every_metric_of_rules_and_dashboard_exists() -> None:
    used = {name for expression in expressions() for name in names(expression)}
    assert used <= METRICS.keys() | FOREIGN
    assert len(used) > 25
    assert names('sum by (run) (applejack_misspelt{run=~"$run"})') == {"applejack_misspelt"}  # one would be found


def test_labels_of_rules_and_dashboard_are_those_of_the_metric() -> None:
    for expression in expressions():
        for name, labels in re.findall(r"(applejack_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)\s*=~?", labels)) <= set(METRICS[name].labels), expression


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS.values():
        assert re.fullmatch(r"applejack_[a-z]+(_[a-z]+)*", metric.name), metric.name
        assert not re.search(r"_(ms|minutes|gb|mb|count|percent)(_|$)", metric.name), metric.name
        assert metric.help.endswith("."), metric.name
        assert "count" not in metric.labels


@needs_promtool
def test_promtool_accepts_the_installed_configuration(tmp_path: Path) -> None:
    home = tmp_path / "o'home with space"
    install(monitoring(home), force=False)
    config = home / ".config" / "applejack" / "monitoring" / "prometheus.yml"
    done = subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 rules found" in done.stdout


@needs_promtool
def test_each_alert_fires_for_its_fault_only(tmp_path: Path) -> None:
    rules = (FILES / RULES).read_text()
    shutil.copy(TESTS, tmp_path / TESTS.name)

    def passes(text: str) -> bool:
        (tmp_path / RULES).write_text(text)
        command = ["promtool", "test", "rules", TESTS.name]
        return subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0

    assert passes(rules)
    assert not passes(rules.replace("[15m]) == 0", "[15m]) >= 0"))  # a rule that fires for each run is noticed
    assert not passes(rules.replace("> 0.2", "> 0.9"))  # and one that never fires


def test_each_alert_has_a_test_and_an_action() -> None:
    [group] = yaml.safe_load((FILES / RULES).read_text())["groups"]
    text = TESTS.read_text()
    for rule in group["rules"]:
        assert rule["alert"] in text
        assert rule["annotations"].keys() == {"summary", "action"}


def test_the_token_is_in_one_private_file_and_in_no_text(tmp_path: Path) -> None:
    made = monitoring(tmp_path, metrics_token=SecretStr("s3cret-token"))
    assert "s3cret-token" not in repr(made) + "".join(file.text for file in made.files)
    install(made, force=False)
    file = tmp_path / ".config" / "applejack" / "monitoring" / TOKEN_FILE
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("s3cret-token", 0o600)
    assert f"credentials_file: '{file}'" in (file.parent / "prometheus.yml").read_text()


def test_the_first_command_gives_flower_the_token(tmp_path: Path) -> None:
    made = monitoring(tmp_path)
    install(made, force=False)
    env = tmp_path / ".config" / "applejack" / "env"
    subprocess.run(["sh", "-c", made.commands[0]], check=True)
    token = (env.parent / "monitoring" / TOKEN_FILE).read_text()
    assert (values(env), len(token)) == ({TOKEN: token}, 43)  # values() refuses a file that others can read
    again = monitoring(tmp_path)
    assert [one.state for one in install(again, force=False)] == ["kept", "unchanged", "unchanged", "unchanged"]
    assert again.commands == made.commands[2:]  # Flower knows it


def test_the_documented_metrics_are_those_of_the_code() -> None:
    """docs/monitoring.md has the table that this prints; copy it there."""
    rows = [f"| `{metric.name}` | {', '.join(metric.labels)} | {metric.help} |" for metric in METRICS.values()]
    table = "\n".join(["| metric | labels | meaning |", "|---|---|---|", *rows])
    assert table in (ROOT / "docs" / "monitoring.md").read_text(), table


def test_the_documented_alerts_are_those_of_the_rules() -> None:
    [group] = yaml.safe_load((FILES / RULES).read_text())["groups"]
    documented = re.findall(r"\| `(Applejack\w+)`", (ROOT / "docs" / "monitoring.md").read_text())
    assert documented == [rule["alert"] for rule in group["rules"]]
