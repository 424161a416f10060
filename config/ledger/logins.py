"""How `applejack open` finds a running Flower and logs a browser in: by a token in the ledger that works once."""

import hashlib
import secrets

import redis
from pydantic import BaseModel, ConfigDict

from config.ledger.store import decode, redis_errors
from config.topology import FLOWERS, login_key

ANNOUNCE_SECONDS = 5.0  # between two announcements of a running Flower
FORGET_SECONDS = 20.0  # without an announcement, a Flower is presumed dead
LOGIN_SECONDS = 60  # a browser takes seconds to open; a link that was copied is used at once


class FlowerAddress(BaseModel):
    """Where a running Flower is."""

    model_config = ConfigDict(frozen=True)

    url: str
    """for other machines; without a slash at the end"""
    local_url: str
    """for its own machine"""
    host: str
    """name of its machine"""
    loopback: bool
    """only its own machine can reach it"""


class Logins:
    """Running Flowers, and one-time logins."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def announce(self, address: FlowerAddress) -> None:
        """Record that a Flower runs; it repeats this every ANNOUNCE_SECONDS."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            seconds, _ = self._redis.time()
            pipe.zadd(FLOWERS, {address.model_dump_json(): seconds})
            pipe.zremrangebyscore(FLOWERS, "-inf", float(seconds) - FORGET_SECONDS)
            pipe.expire(FLOWERS, int(FORGET_SECONDS))
            pipe.execute()

    def flowers(self) -> list[FlowerAddress]:
        """The running Flowers, sorted by URL."""
        with redis_errors():
            seconds, _ = self._redis.time()
            found = self._redis.zrangebyscore(FLOWERS, float(seconds) - FORGET_SECONDS, "+inf")
        return sorted((FlowerAddress.model_validate_json(decode(item)) for item in found), key=lambda item: item.url)

    def create(self, run_id: str) -> str:
        """Return a token that logs one browser in within LOGIN_SECONDS and shows this run; "" is the list of runs."""
        token = secrets.token_urlsafe(32)
        with redis_errors():
            self._redis.set(_key(token), run_id, ex=LOGIN_SECONDS)
        return token

    def use(self, token: str) -> str | None:
        """Use up a token; returns its run, or None if it is wrong, expired or used."""
        with redis_errors():
            found = self._redis.getdel(_key(token))
        return None if found is None else decode(found)


def _key(token: str) -> str:
    """The ledger has the token's hash, so that its files do not hold a login."""
    return login_key(hashlib.sha256(token.encode()).hexdigest())
