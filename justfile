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
    .ci/pins --check

# run the unit tests: no I/O, seconds
unit:
    .venv/bin/pytest tests/unit

# run all tests
test:
    .venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

# update all pins: packages, and digests of images where Docker is
pins:
    .ci/pins

# run what CI runs
ci:
    bash .ci/run
