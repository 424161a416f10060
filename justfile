# The commands of a working day; `just --list` shows them.

# install everything for development into .venv
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -c constraints.txt uv
    .venv/bin/uv pip install -q -c constraints.txt -e '.[worker]' --group dev

# format, lint, types, import contracts
check:
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/mypy
    .venv/bin/lint-imports

# tests without I/O, in seconds
unit:
    .venv/bin/pytest tests/unit

# all tests
test:
    .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

# resolve every version anew; addresses are left out on purpose
pins:
    .venv/bin/uv pip compile -q --universal --python-version 3.11 --all-extras --group dev --no-header --no-annotate pyproject.toml -o constraints.txt

# what CI runs
ci:
    bash .ci/run
