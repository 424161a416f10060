# ruff: noqa: E501, ARG005 - one kind a line, each a function of the random numbers
"""Labelled lines: planted secrets of many kinds, and innocent lines that look like them. Made anew, never stored.

The planted ones are drawn at random in the formats that their issuers document. None is or was anybody's.
"""

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM, HEX, BASE32 = string.ascii_letters + DIGITS, "0123456789abcdef", UPPER + "234567"


def planted(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """(kind, line, the secret in it), the kinds in turn."""
    rng = random.Random(seed)
    makers = list(KINDS.items())
    for number in range(count):
        kind, make = makers[number % len(makers)]
        line, secret = make(rng)
        yield kind, line, secret


def innocent(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """(kind, line) of lines without a secret."""
    rng = random.Random(seed)
    makers = list(INNOCENT.items())
    for number in range(count):
        kind, make = makers[number % len(makers)]
        yield kind, make(rng)


def draw(rng: random.Random, alphabet: str, length: int) -> str:
    """Random characters."""
    return "".join(rng.choice(alphabet) for _ in range(length))


def around(form: str, secret: str) -> tuple[str, str]:
    """A line with the secret in the place of {}."""
    return form.format(secret), secret


def jwt(rng: random.Random) -> str:
    parts = (
        {"alg": "HS256", "typ": "JWT"},
        {"sub": draw(rng, DIGITS, 10), "iat": 1700000000, "name": draw(rng, LOWER, 9)},
    )
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, draw(rng, ALNUM + "-_", 43)])


def private_key(rng: random.Random) -> tuple[str, str]:
    body = "\n".join(draw(rng, ALNUM + "+/", 64) for _ in range(6))
    kind = rng.choice(["RSA PRIVATE", "OPENSSH PRIVATE", "EC PRIVATE", "PRIVATE"])
    text = f"-----BEGIN {kind} KEY-----\n{body}\n-----END {kind} KEY-----"
    return text, text


def part_of_key(rng: random.Random, first: int, last: int | None) -> tuple[str, str]:
    text = "\n".join(private_key(rng)[0].split("\n")[first:last])
    return f"x = 1\n{text}\n", text


Maker = Callable[[random.Random], tuple[str, str]]
KINDS: dict[str, Maker] = {
    "aws access key": lambda r: around("aws_access_key_id = {}", "AKIA" + draw(r, BASE32, 16)),
    "aws secret key": lambda r: around('aws_secret_access_key = "{}"', draw(r, ALNUM + "+/", 40)),
    "github token": lambda r: around("GITHUB_TOKEN={}", "ghp_" + draw(r, ALNUM, 36)),
    "github fine-grained token": lambda r: around('token: "{}"', "github_pat_" + draw(r, ALNUM + "_", 82)),
    "gitlab token": lambda r: around("curl --header 'PRIVATE-TOKEN: {}'", "glpat-" + draw(r, ALNUM, 20)),
    "slack bot token": lambda r: around("SLACK = '{}'", f"xoxb-{draw(r, DIGITS, 12)}-{draw(r, DIGITS, 13)}-{draw(r, ALNUM, 24)}"),
    "slack webhook": lambda r: around("url = '{}'", f"https://hooks.slack.com/services/T{draw(r, UPPER + DIGITS, 10)}/B{draw(r, UPPER + DIGITS, 10)}/{draw(r, ALNUM, 24)}"),
    "stripe key": lambda r: around("stripe.api_key = '{}'", "sk_live_" + draw(r, ALNUM, 24)),
    "openai key": lambda r: around("OPENAI_API_KEY={}", "sk-" + draw(r, ALNUM, 20) + "T3BlbkFJ" + draw(r, ALNUM, 20)),
    "anthropic key": lambda r: around("key = '{}'", "sk-ant-api03-" + draw(r, ALNUM + "_-", 93) + "AA"),
    "hugging face token": lambda r: around("HF_TOKEN={}", "hf_" + draw(r, string.ascii_letters, 34)),
    "google api key": lambda r: around('"api_key": "{}"', "AIza" + draw(r, ALNUM + "-_", 35)),
    "npm token": lambda r: around("//registry.npmjs.org/:_authToken={}", "npm_" + draw(r, LOWER + DIGITS, 36)),
    "pypi token": lambda r: around("password = {}", "pypi-AgEIcHlwaS5vcmc" + draw(r, ALNUM + "-_", 70)),
    "sendgrid key": lambda r: around("SENDGRID={}", f"SG.{draw(r, ALNUM, 22)}.{draw(r, ALNUM, 43)}"),
    "twilio key": lambda r: around("twilio = '{}'", "SK" + draw(r, HEX, 32)),
    "telegram bot": lambda r: around("telegram_token = '{}'", f"{draw(r, DIGITS, 9)}:A{draw(r, ALNUM, 34)}"),
    "digitalocean token": lambda r: around("export DO={}", "dop_v1_" + draw(r, HEX, 64)),
    "jwt": lambda r: around("Authorization: Bearer {}", jwt(r)),
    "private key": private_key,
    "start of a private key": lambda r: part_of_key(r, 0, 4),
    "end of a private key": lambda r: part_of_key(r, 3, None),
    "redis url": lambda r: around("redis://:{}@10.0.0.5:6379/0", draw(r, ALNUM, 16)),
    "postgres url": lambda r: around("DATABASE_URL=postgresql://app:{}@db.internal/app", draw(r, ALNUM, 12)),
    "basic auth url": lambda r: around("git clone https://me:{}@git.example.org/x.git", draw(r, ALNUM, 20)),
    "password in code": lambda r: around("password = '{}'", draw(r, LOWER, 6) + draw(r, DIGITS, 3) + draw(r, UPPER, 2)),
    "password in yaml": lambda r: around('  password: "{}"', draw(r, ALNUM, 14)),
    "password in ini": lambda r: around("[db]\nuser = app\npassword = {}\n", draw(r, LOWER, 6) + draw(r, DIGITS, 3) + draw(r, UPPER, 2)),
    "password in yaml without quotes": lambda r: around("  - db_password: {}  # of the app", draw(r, LOWER, 3) + draw(r, DIGITS, 2) + draw(r, ALNUM, 7)),
    "password in env": lambda r: around("export SMTP_PWD={}", draw(r, ALNUM, 3) + draw(r, DIGITS, 2) + draw(r, ALNUM + "!+^~", 6) + "z"),
    "api key in code": lambda r: around('api_key = "{}"', draw(r, ALNUM, 32)),
    "client secret": lambda r: around("client_secret='{}'", draw(r, ALNUM + "-_", 40)),
    "django secret": lambda r: around("SECRET_KEY = '{}'", draw(r, LOWER + DIGITS + "_-", 50)),
    "azure storage": lambda r: around("AccountKey={};EndpointSuffix=core.windows.net", base64.b64encode(r.randbytes(64)).decode()),
    "age key": lambda r: around("# key\n{}", "AGE-SECRET-KEY-1" + draw(r, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "vault token": lambda r: around("VAULT_TOKEN={}", "hvs." + draw(r, ALNUM + "_-", 95)),
    "shopify token": lambda r: around("shopify: '{}'", "shpat_" + draw(r, HEX, 32)),
    "databricks token": lambda r: around("token = {}", "dapi" + draw(r, HEX, 32)),
    "doppler token": lambda r: around("DOPPLER='{}'", "dp.pt." + draw(r, ALNUM, 43)),
}  # fmt: skip

INNOCENT: dict[str, Callable[[random.Random], str]] = {
    "git commit": lambda r: f"commit {draw(r, HEX, 40)}",
    "sha256": lambda r: f"sha256 = '{hashlib.sha256(r.randbytes(8)).hexdigest()}'",
    "integrity": lambda r: f'"integrity": "sha512-{base64.b64encode(r.randbytes(64)).decode()}"',
    "pip hash": lambda r: f"    --hash=sha256:{draw(r, HEX, 64)}",
    "uuid": lambda r: f"job_id = '{uuid.UUID(int=r.getrandbits(128))}'",
    "job id": lambda r: f"000017-{draw(r, HEX, 8)}: generated",
    "md5 etag": lambda r: f'ETag: "{draw(r, HEX, 32)}"',
    "image data": lambda r: f"background: url(data:image/png;base64,{base64.b64encode(r.randbytes(48)).decode()})",
    "placeholder url": lambda r: f"redis://:{r.choice(['PASSWORD', 'password', '${REDIS_PASSWORD}', '<password>', '%(pw)s', '***'])}@host:6379/0",
    "placeholder key": lambda r: f"api_key = {r.choice(['os.environ[API_KEY]', 'settings.api_key', 'None', 'YOUR_API_KEY', 'get_key()'])}",
    "password variable": lambda r: f"password = {r.choice(['getpass.getpass()', 'settings.redis_password', 'os.getenv(chr(80))', 'self._password', 'None'])}",
    "password text": lambda r: f"raise ValueError('{r.choice(['password is required', 'wrong password', 'the password must be long'])}')",
    "password call": lambda r: f"password = {r.choice(['get_password()', 'hash2(raw, salt)', 'config[chr(112)]', 'base64_encoded', 'sha256Hash', 'user2.password', 'old_pw2_value', 'str'])}",
    "password type": lambda r: f"    password: {r.choice(['str', 'string;', 'String', 'bytes32', 'Optional[str]', 'SecretStr', 'uint64', 'str | None = None', 'VARCHAR(255)'])}",
    "working directory": lambda r: f"pwd = {r.choice(['os.getcwd()', 'Path.cwd()', '$(pwd)', '/home/app1/src', '~/src2', 'cwd_path2'])}",
    "password reference": lambda r: f"password: {r.choice(['${PW}', '$DB_PASS1', '%(pw1)s', '!vault', '*anchor1', 'env:DB_PW1', 'vault:secret/db1', '<your-pw-1>', 'changeme123'])}",
    "password prose": lambda r: f"{r.choice(['Password: at least 8 characters', 'password = 12 random words', 'The password: see page 12', 'Enter your pwd: it has 6 digits', 'passwd: 3 attempts left'])}",
    "key constants": lambda r: f"BEGIN = '-----BEGIN PRIVATE KEY-----'\ndef {draw(r, LOWER, 9)}(text):\n    return text.startswith(BEGIN)\nEND = '-----END PRIVATE KEY-----'",
    "function": lambda r: f"def {draw(r, LOWER, 8)}_{draw(r, LOWER, 9)}(self, token: str, secret_name: str) -> None:",
    "constant": lambda r: f"{draw(r, UPPER, 6)}_{draw(r, UPPER, 7)}_SECONDS = {draw(r, DIGITS, 4)}",
    "import": lambda r: f"from {draw(r, LOWER, 6)}.{draw(r, LOWER, 8)} import {draw(r, LOWER, 5)}_token, SecretStr",
    "token count": lambda r: f"tokens_per_second={r.random() * 100:.4f}, max_tokens={r.randrange(9999)}",
    "version": lambda r: f"mlx-lm=={r.randrange(9)}.{r.randrange(99)}.{r.randrange(99)}+{draw(r, HEX, 7)}",
    "path": lambda r: f"/Users/me/Library/Caches/{draw(r, LOWER, 10)}/{draw(r, HEX, 16)}/model.safetensors",
    "regex": lambda r: f"re.compile(r'^[A-Za-z0-9+/]{{{r.randrange(20, 40)}}}={{0,2}}$')",
    "test fixture": lambda r: f"assert digest('x') == '{draw(r, HEX, 16)}'",
    "public key": lambda r: "-----BEGIN PUBLIC KEY-----",
    "ssh public key": lambda r: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{base64.b64encode(r.randbytes(32)).decode().rstrip('=')} me@host",
    "licence": lambda r: "Permission is hereby granted, free of charge, to any person obtaining a copy",
    "keyword": lambda r: f"auth = {r.choice(['True', 'HTTPBasicAuth(user, pw)', 'None', 'self.auth'])}; key = lambda item: item[{r.randrange(9)}]",
    "docstring": lambda r: f'"""Return the secret key named {draw(r, LOWER, 6)}; raises KeyError without one."""',
    "template": lambda r: f"password: {{{{ {draw(r, LOWER, 6)}_password }}}}",
    "enum": lambda r: f"TOKEN_{draw(r, UPPER, 5)} = 'token_{draw(r, LOWER, 5)}'",
    "colour": lambda r: f"--flower-active: #{draw(r, HEX, 6)}; --bs-primary-rgb: {r.randrange(256)}, {r.randrange(256)}, 90;",
    "json schema": lambda r: f'{{"name": "{draw(r, LOWER, 6)}", "parameters": {{"pattern": {{"type": "string"}}}}}}',
    "tool call": lambda r: f'{{"name": "grep", "arguments": {{"pattern": "class {draw(r, UPPER, 1)}{draw(r, LOWER, 7)}"}}}}',
}  # fmt: skip
