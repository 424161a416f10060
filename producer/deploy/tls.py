"""A fleet's own certificate authority, and the certificates that it signs, made with the openssl program.

openssl is on every Mac (LibreSSL) and on Linux; the library `cryptography` would be a new dependency for one command.
"""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from config.atomic_files import write_text, writing
from config.errors import UsageError
from producer.deploy.redis_users import REDIS_PORT

CA_DAYS = 3650  # a fleet outlives several servers; a new authority has to reach every machine
DAYS = 397  # the longest that browsers and Apple's libraries accept of a server
TLS_PORT = REDIS_PORT + 1
CA, SERVER = "ca", "server"
EXTENSIONS = {
    "authority": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier=hash\n",
    "server": "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
    "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
    "client": "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
}


@dataclass(frozen=True)
class FleetCertificates:
    """The authority, Redis' certificate and those of clients, in one folder; keys have mode 600."""

    folder: Path
    """ca.pem, ca.key, server.pem, server.key, NAME.pem, NAME.key"""

    @property
    def ca(self) -> Path:
        """The file that every machine of the fleet needs. It is not a secret."""
        return self.folder / f"{CA}.pem"

    def make(self, hosts: Sequence[str], clients: Sequence[str] = ()) -> bool:
        """Sign a new certificate for the server and for each client; whether the authority is new, too.

        UsageError without openssl, or if it fails; then nothing that was there is changed.
        """
        if shutil.which("openssl") is None:
            raise UsageError("the program openssl is not on PATH; install it (apt-get install openssl)")
        with writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not (self.ca.exists() and self.key(CA).exists())
        if is_new:
            self._write(CA, *_authority())
        self._write(SERVER, *self._signed("server", hosts[0], hosts))
        for name in clients:
            self._write(name, *self._signed("client", name, ()))
        return is_new

    def key(self, name: str) -> Path:
        """The private key of a certificate."""
        return self.folder / f"{name}.key"

    def expiry(self, name: str) -> str:
        """When a certificate expires, in openssl's words."""
        said = _openssl("x509", "-in", str(self.folder / f"{name}.pem"), "-noout", "-enddate")
        return said.strip().partition("=")[2]

    def configuration(self) -> str:
        """What redis-start.sh adds to redis.conf."""
        return f"""\
# Written by `applejack deploy tls`. Redis listens for TLS here, and still without it on the port of redis.conf.
tls-port {TLS_PORT}
tls-cert-file "{self.folder / SERVER}.pem"
tls-key-file "{self.key(SERVER)}"
tls-ca-cert-file "{self.ca}"
# "yes" requires a certificate of each client: applejack deploy tls --client NAME
tls-auth-clients optional
# When every machine uses rediss://, remove the next line's "#": then Redis takes no connection without TLS.
#port 0
"""

    def url(self, host: str) -> str:
        """What a machine's APPLEJACK_REDIS_URL becomes."""
        shown = f"[{host}]" if ":" in host else host
        return f"rediss://USER:PASSWORD@{shown}:{TLS_PORT}/0?ssl_ca_certs=FILE"

    def _signed(self, kind: str, name: str, hosts: Sequence[str]) -> tuple[str, str]:
        """Key and certificate for a name, signed by the authority."""
        with tempfile.TemporaryDirectory() as scratch:
            key, request, extensions = (Path(scratch) / part for part in ("key", "csr", "ext"))
            names = f"subjectAltName={','.join(map(_alternative, hosts))}\n" if hosts else ""
            extensions.write_text(EXTENSIONS[kind] + names)
            key.write_text(_new_key())
            _openssl("req", "-new", "-sha256", "-key", str(key), "-subj", f"/CN={name}", "-out", str(request))
            made = _openssl("x509", "-req", "-sha256", "-in", str(request), "-CA", str(self.ca),
                            "-CAkey", str(self.key(CA)), "-set_serial", str(secrets.randbits(63)),
                            "-extfile", str(extensions), "-days", str(DAYS))  # fmt: skip
            return key.read_text(), made

    def _write(self, name: str, key: str, certificate: str) -> None:
        write_text(self.key(name), key, private=True)
        write_text(self.folder / f"{name}.pem", certificate)


def _authority() -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        key, config = Path(scratch) / "key", Path(scratch) / "config"
        key.write_text(_new_key())
        config.write_text(f"[req]\ndistinguished_name=name\n[name]\n[authority]\n{EXTENSIONS['authority']}")
        made = _openssl("req", "-x509", "-new", "-sha256", "-key", str(key), "-days", str(CA_DAYS),
                        "-subj", "/CN=applejack fleet", "-config", str(config), "-extensions", "authority")  # fmt: skip
        return key.read_text(), made


def _new_key() -> str:
    return _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")


def _alternative(host: str) -> str:
    """A host as a subject alternative name. UsageError if it is neither an address nor a name."""
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        if not host or not all(part.replace("-", "").isalnum() and part.isascii() for part in host.split(".")):
            raise UsageError(f"--host {host!r} is neither a host name nor an IP address") from None
        return f"DNS:{host}"


def _openssl(*words: str) -> str:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"openssl {words[0]} failed: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout
