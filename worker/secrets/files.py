"""Files that hold secrets by their kind: tools do not read them unless the run allows it."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

PATTERNS = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd", ".git-credentials"),
    *("*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.asc", "*.gpg"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.tfstate", "*.tfstate.backup", "*.tfvars", "*.ovpn"),
    *("credentials", "credentials.json", "client_secret*.json", "service-account*.json", "secrets.y*ml"),
    *("secrets.json", ".pypirc", ".npmrc", ".dockercfg", ".vault-token", "kubeconfig", "*.kubeconfig"),
)
HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")
DIRECTORIES = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker"})


def is_secret_file(path: str, *, allowed: Iterable[str] = ()) -> bool:
    """Whether a file's path says that it holds secrets; `allowed` are globs over paths or names that may be read."""
    name = path.rsplit("/", 1)[-1].casefold()
    if any(fnmatchcase(path, glob) or fnmatchcase(name, glob) for glob in (*allowed, *HARMLESS)):
        return False
    if DIRECTORIES.intersection(path.casefold().split("/")[:-1]):
        return True
    return any(fnmatchcase(name, glob) for glob in PATTERNS)
