"""The fast matrix product gives the reference's numbers, whatever the layout, and mlx really uses it."""

import ctypes
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worker.student.cpu_blas import blas

ROW_MAJOR, COLUMN_MAJOR = 101, 102
PLAIN, TRANSPOSED = 111, 112
ROWS = (1, 3, 16, 17, 200)  # up to 16 rows are done here, more by OpenBLAS, from 128 on in two parts
CASES = list(itertools.product((ROW_MAJOR, COLUMN_MAJOR), (PLAIN, TRANSPOSED), (PLAIN, TRANSPOSED), ROWS))
SCALES = ((1.0, 0.0), (0.5, 1.0), (0.0, -0.3))  # alpha and beta
linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS has Metal: nothing is preloaded there")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blas.built_library.cache_clear()
    built = blas.built_library(tmp_path_factory.mktemp("blas"))
    assert built is not None
    return built


def laid_out(matrix: np.ndarray, order: int, transposed: int, padding: int) -> np.ndarray:
    matrix = matrix.T if transposed == TRANSPOSED else matrix
    matrix = matrix if order == ROW_MAJOR else matrix.T
    buffer = np.full((matrix.shape[0], max(matrix.shape[1], 1) + padding), 7, np.float32)
    buffer[:, : matrix.shape[1]] = matrix
    return buffer


@linux
@pytest.mark.parametrize(("order", "trans_a", "trans_b", "rows"), CASES)
def test_sgemm_is_the_product_of_numpy(library: Path, order: int, trans_a: int, trans_b: int, rows: int) -> None:
    number, real, place = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    sgemm = ctypes.CDLL(str(library)).cblas_sgemm
    sgemm.argtypes = [number] * 6 + [real, place, number, place, number, real, place, number]
    sgemm.restype = None
    random = np.random.default_rng(0)
    for columns, inner, (alpha, beta), padding in itertools.product((1, 5, 300), (0, 1, 130), SCALES, (0, 3)):
        a = random.standard_normal((rows, inner), np.float32)
        b = random.standard_normal((inner, columns), np.float32)
        c = random.standard_normal((rows, columns), np.float32)
        left, right = laid_out(a, order, trans_a, padding), laid_out(b, order, trans_b, padding)
        out = laid_out(c, order, PLAIN, padding)
        if beta == 0:
            out[:] = np.nan  # with beta zero the old content must not be read
        widths = left.shape[1], right.shape[1], out.shape[1]
        sgemm(
            order, trans_a, trans_b, rows, columns, inner, alpha, left.ctypes.data, widths[0], right.ctypes.data,
            widths[1], beta, out.ctypes.data, widths[2],
        )  # fmt: skip
        got = out[:, :columns] if order == ROW_MAJOR else out[:, :rows].T
        np.testing.assert_allclose(got, alpha * (a @ b) + (beta * c if beta else 0), atol=1e-3)


MLX = """
import mlx.core as mx, numpy as np
for shape in ((1, 64, 96), (40, 64, 96), (300, 576, 192)):
    a, b = (np.random.default_rng(1).standard_normal(s).astype(np.float32) for s in (shape[:2], (shape[2], shape[1])))
    assert np.allclose(np.array(mx.array(a) @ mx.array(b).T), a @ b.T, atol=1e-3), shape
maps = open("/proc/self/maps").read()
assert "scipy_openblas" in maps and "sgemm-" in maps, "mlx did not use it"
"""


@linux
def test_mlx_uses_it_and_multiplies_right() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MLX], env={**os.environ, **blas.mlx_environment()}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@linux
def test_without_a_compiler_mlx_works_as_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    blas.built_library.cache_clear()
    assert blas.built_library(tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


@linux
def test_a_compiler_that_fails_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'no headers here' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    blas.built_library.cache_clear()
    assert blas.built_library(tmp_path / "cache") is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_mlx_environment_points_at_an_existing_cache_and_stays_offline() -> None:
    environment = blas.mlx_environment()
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert Path(environment["HF_HOME"], "hub").is_dir()  # without it /v1/models answers with an empty body
