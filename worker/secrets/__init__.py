"""Finds secrets in text, masks them, and names the files that hold them.

The rules are those of gitleaks (gitleaks.toml, MIT), which is kept up for this purpose; own.toml adds what it leaves to
others, such as passwords in URLs. benchmarks/secret_detection.py compares them with detect-secrets.
"""

from worker.secrets.detector import Secret, find_secrets, mask, replace
from worker.secrets.files import is_secret_file

__all__ = ["Secret", "find_secrets", "is_secret_file", "mask", "replace"]
