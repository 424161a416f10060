"""Files that hold secrets by their kind: tools do not read them unless the run allows it."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase, translate

KEYS = ("rsa", "dsa", "ecdsa", "ed25519", "ecdsa_sk", "ed25519_sk")
PATTERNS = (
    *(".env*", "*.env", "env.local", "env.prod*", "env.staging", "env.development", "*.env.local", "*.env.prod*"),
    *(".netrc", "_netrc", ".pgpass", "pgpass.conf", ".my.cnf", ".htpasswd", ".git-credentials", ".s3cfg", ".boto"),
    *("*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.pkcs12", "*.jks", "*.jceks", "*.keystore", "*.keytab"),
    *("*.kdbx", "*.ppk", "*.asc", "*.gpg", "*.agekey", "*.tfstate", "*.tfvars", "*.ovpn"),
    *(glob.format(kind) for kind in KEYS for glob in ("*[._-]{}", "id_{}[._-]*", "id_{}[0-9]*")),
    *("credentials", "credentials.json", "credentials.toml", "*.credentials", "application_default_credentials.json"),
    *("client_secret*.json", "service-account*.json", "service_account*.json", "*-adminsdk-*.json"),
    *("secrets.y*ml", "secrets.json", "secrets.toml", "secrets.ini", ".secrets", ".pypirc", ".npmrc", ".dockercfg"),
    *(".vault-token", "kubeconfig", "*.kubeconfig"),
)
HARMLESS = (*(f"*env[._-]{kind}" for kind in ("example", "sample", "template", "dist")), ".env.*.example", "*.pub")
BACKUP = re.compile(r"(?:~|[._-](?:bak|backup|old|orig|save|saved|copy|swp|swo|tmp|\d+))+$")
NAMES = re.compile("|".join(translate(glob) for glob in PATTERNS))
DIRECTORIES = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker"})


def is_secret_file(path: str, *, allowed: Iterable[str] = ()) -> bool:
    """Whether a file's path says that it holds secrets; `allowed` are globs over paths or names that may be read."""
    name = path.rsplit("/", 1)[-1].casefold()
    if any(fnmatchcase(path, glob) or fnmatchcase(name, glob) for glob in (*allowed, *HARMLESS)):
        return False
    if DIRECTORIES.intersection(path.casefold().split("/")[:-1]):
        return True
    return bool(NAMES.match(name) or NAMES.match(BACKUP.sub("", name)))
