# Development commands; `just --list` shows them.

# install everything for development into .venv
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -c constraints.txt uv
    .venv/bin/uv pip install -q -c constraints.txt -e '.[worker]' --group dev

# check format, lint, types and import contracts
check:
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/mypy
    .venv/bin/lint-imports
    .ci/resolve

# run the unit tests: no I/O, seconds
unit:
    .venv/bin/pytest tests/unit

# run all tests
test:
    .venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

# pin all dependencies again; index addresses are left out on purpose
pins:
    .venv/bin/uv pip compile -q --universal --python-version 3.11 --all-extras --group dev --no-header --no-annotate pyproject.toml -o constraints.txt

# run what CI runs
ci:
    bash .ci/run
