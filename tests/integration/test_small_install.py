"""What asks and watches needs no model library: neither imported, nor required."""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("mlx", "mlx_lm", "pydantic_ai", "transformers", "numpy", "openai")
BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
"""
MEASURE = """
import json, sys
from producer import cli, enqueue
from producer.flower import serve
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_producer_imports_no_model_library() -> None:
    imported = json.loads(python(MEASURE).splitlines()[-1])
    assert "celery" in imported  # it measures what it should
    assert set(HEAVY) & set(imported) == set()


def test_the_producer_works_where_none_of_them_is_installed() -> None:
    python(BLOCKED.format(heavy=HEAVY) + MEASURE)
    told = python(
        BLOCKED.format(heavy=HEAVY)
        + "import sys; sys.argv[1:] = ['--help']\nfrom producer.cli import main\n"
        + "try: main()\nexcept SystemExit as e: assert not e.code"
    )
    assert "submit" in told


def test_a_stage_by_hand_says_what_to_install() -> None:
    code = BLOCKED.format(heavy=HEAVY).replace("raise ModuleNotFoundError(name)", "return None")
    code += "\nfrom producer.commands import stages\nstages.find_spec = lambda name: None\n"
    code += "import sys; sys.argv[1:] = ['curate', 'x']\nfrom producer.cli import main\n"
    code += "try: main()\nexcept SystemExit as e: print('code', e.code)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert "code 2" in done.stdout
    assert "applejack[worker]" in done.stderr


def test_what_the_small_install_requires_holds_no_model_library() -> None:
    names, open_ = set(), {"applejack"}
    while open_:
        name = open_.pop()
        names.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # another platform's
            continue
        wanted = [Requirement(line) for line in lines]
        found = {one.name.lower() for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}
        open_ |= {re.sub(r"[-_.]+", "-", one) for one in found} - names
    assert "flower" in names
    assert not [name for name in names if name.replace("-", "_") in {*HEAVY, "pydantic_ai_slim"}]
