"""What a build downloads is pinned: packages by constraints.txt, images by digest, vendored files by hash."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    ".ci/pins",
    "constraints.txt",
    "docker-compose.yml",
    "config/deploy/Dockerfile",
    "config/deploy/vendored.sha256",
    "producer/flower/static/uPlot.iife.min.js",
    "producer/flower/static/uPlot.min.css",
)
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the pinned files."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def pins(checkout: Path, *arguments: str, programs: Path | None = None) -> "subprocess.CompletedProcess[str]":
    path = f"{programs}:{os.environ['PATH']}" if programs else os.environ["PATH"]
    env = {**os.environ, "PATH": path, "UV": str(programs / "uv") if programs else "none"}
    return subprocess.run([checkout / ".ci/pins", *arguments], capture_output=True, text=True, env=env)


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_everything_is_pinned(checkout: Path) -> None:
    assert pins(checkout, "--check").returncode == 0


@pytest.mark.parametrize(
    ("file", "pin", "instead", "told"),
    [
        ("docker-compose.yml", DIGEST.pattern, "", "no digest: docker-compose.yml"),
        ("config/deploy/Dockerfile", DIGEST.pattern, "", "no digest: config/deploy/Dockerfile"),
        ("config/deploy/Dockerfile", DIGEST.pattern, "@sha256:12", "no digest: config/deploy/Dockerfile"),
        ("config/deploy/Dockerfile", "-c constraints.txt", "", "does not use constraints.txt"),
        ("producer/flower/static/uPlot.iife.min.js", "uPlot", "evil", "vendored file was changed"),
    ],
)
def test_a_missing_pin_is_found(checkout: Path, file: str, pin: str, instead: str, told: str) -> None:
    before = (checkout / file).read_text()
    (checkout / file).write_text(re.sub(pin, instead, before))
    assert before != (checkout / file).read_text()
    done = pins(checkout, "--check")
    assert done.returncode == 1
    assert told in done.stdout


def test_every_installation_of_the_image_uses_the_constraints() -> None:
    installed = re.findall(r"pip install[^&\n]*", (ROOT / "config/deploy/Dockerfile").read_text())
    assert len(installed) == 2
    assert [line for line in installed if "-c constraints.txt" not in line] == []


def test_one_command_updates_packages_and_digests(checkout: Path, tmp_path: Path) -> None:
    programs, digest = tmp_path / "bin", f"sha256:{'ab' * 32}"
    program(programs, "uv", 'while [ "$1" != -o ]; do shift; done; echo "new==2" > "$2"')
    program(programs, "docker", f'[ "$2" = version ] || echo "{digest}"')
    done = pins(checkout, programs=programs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / "constraints.txt").read_text() == "new==2\n"
    for name, image in (("docker-compose.yml", "redis:8-alpine"), ("config/deploy/Dockerfile", "python:3.12-slim")):
        text = (checkout / name).read_text()
        assert f"{image}@{digest}" in text
        assert text == DIGEST.sub(f"@{digest}", (ROOT / name).read_text())
    assert [path.name for path in checkout.rglob("*.bak")] == []


def test_without_docker_the_digests_stay_and_one_line_tells_it(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    program(programs, "uv", "exit 0")
    program(programs, "docker", "exit 1")
    done = pins(checkout, programs=programs)
    assert done.returncode == 0, done.stderr
    assert "image digests were not updated" in done.stdout
    assert (checkout / "docker-compose.yml").read_text() == (ROOT / "docker-compose.yml").read_text()


def test_a_build_sends_docker_only_what_the_image_needs() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = re.findall(r"(?m)^COPY (.+) \S+$", (ROOT / "config/deploy/Dockerfile").read_text())
    assert ignored[0] == "*"
    assert {f"!{name}" for line in copied for name in line.split()} == set(ignored[1:])
