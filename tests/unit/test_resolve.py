"""The packages under test are this checkout's, not a stray `config` or `worker` of site-packages."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("package", ["config", "producer", "worker"])
def test_package_resolves_to_this_checkout(package: str) -> None:
    assert importlib.import_module(package).__file__ == str(ROOT / package / "__init__.py")
