"""rediss:// from one URL for commands, workers, results and Flower; a certificate that is not accepted is one line."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from config.broker import make_app, verified
from config.ledger import Ledger
from config.records import JobState
from config.settings import Settings
from tests.support.fleet import QUICK, all_terminal, answering, prompts, submit, until
from tests.support.flower_site import flower_env, flower_site
from tests.support.scripted_endpoint import ScriptedEndpoint
from tests.support.tls import authority, signed, tls_proxy
from tests.support.workers import ROOT, start_worker_process

APPLEJACK = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ca = authority(folder)
    authority(folder, "other")
    for name in ("server", "client"):
        signed(folder, ca, name)
    signed(folder, ca, "expired", expired=True)
    return folder


@pytest.fixture
def urls(redis_url: SecretStr, certificates: Path) -> Iterator[dict[str, SecretStr]]:
    """rediss:// URLs of the server: one that works, and one for each fault."""
    from tests.support.tls import Pair

    def pair(name: str) -> Pair:
        return Pair(certificates / f"{name}.pem", certificates / f"{name}.key")

    plain = urlsplit(redis_url.get_secret_value())
    assert plain.port is not None
    with ExitStack() as stack:
        sound = stack.enter_context(tls_proxy(plain.port, pair("server")))
        expired = stack.enter_context(tls_proxy(plain.port, pair("expired")))
        mutual = stack.enter_context(tls_proxy(plain.port, pair("server"), clients=pair("ca")))

        def url(port: int, **options: Path) -> SecretStr:
            query = "&".join(f"{name}={value}" for name, value in options.items())
            return SecretStr(f"rediss://:{plain.password}@127.0.0.1:{port}{plain.path}?{query}")

        ca, client = pair("ca").certificate, pair("client")
        yield {
            "sound": url(sound, ssl_ca_certs=ca),
            "unknown authority": url(sound, ssl_ca_certs=pair("other").certificate),
            "expired": url(expired, ssl_ca_certs=ca),
            "no client certificate": url(mutual, ssl_ca_certs=ca),
            "client certificate": url(mutual, ssl_ca_certs=ca, ssl_certfile=client.certificate, ssl_keyfile=client.key),
        }


@pytest.mark.parametrize("kind", ["sound", "client certificate"])
def test_a_run_ends_over_tls(urls: dict[str, SecretStr], kind: str, tmp_path: Path) -> None:
    """Fails without `verified` in config/broker.py: Celery refuses a rediss:// URL that names no check."""
    url = urls[kind]
    ledger = Ledger.connect(url.get_secret_value())
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker_process("generate", "w1", url=url, folder=tmp_path, env=env, wait=False)
        try:
            until(ledger.fleet.workers, "the worker")
            submit(ledger, url, prompts(3))
            assert all_terminal(ledger)[JobState.GENERATED] == 3
            with make_app(Settings(redis_url=url)) as app:
                assert app.control.ping(timeout=3)
        finally:
            worker.child.kill()


def test_flower_works_over_tls(urls: dict[str, SecretStr], tmp_path: Path) -> None:
    with flower_site(tmp_path, urls["sound"]) as site:
        assert site.get("/runs", pair=site.pair)[0] == 200


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("unknown authority", "is not accepted: certificate verify failed: unable to get local issuer certificate"),
        ("expired", "is not accepted: certificate verify failed: certificate has expired"),
        ("no client certificate", "Redis is unavailable"),
    ],
)
def test_a_fault_is_one_line_and_no_run_is_created(
    urls: dict[str, SecretStr], ledger: Ledger, kind: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "q", "requires_tools": false}\n')
    command = [*APPLEJACK, "submit", "prompts.jsonl", "--run", "r", "--teacher", "scripted", "--format", "seed-text"]
    env = {**flower_env(tmp_path, urls[kind]), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--no-train"], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert words in done.stderr
    password = urlsplit(urls[kind].get_secret_value()).password
    assert password
    assert password not in done.stderr
    assert ledger.run_ids() == []


def test_the_check_of_a_certificate_can_be_chosen() -> None:
    assert verified("redis://host/0") == "redis://host/0"
    assert verified("rediss://host/0") == "rediss://host/0?ssl_cert_reqs=required"
    assert verified("rediss://host/0?ssl_ca_certs=a") == "rediss://host/0?ssl_ca_certs=a&ssl_cert_reqs=required"
    assert verified("rediss://host/0?ssl_cert_reqs=none") == "rediss://host/0?ssl_cert_reqs=none"
