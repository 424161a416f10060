"""Looks for the named traps on this machine and in the fleet; `applejack doctor` shows what it finds."""

from config.diagnostics import Check, Examined, Unseen, examine
from config.ledger import Ledger
from config.ledger.store import connect
from config.settings import Settings
from config.version import version
from producer.doctor.endpoint import Endpoint
from producer.doctor.fleet import FleetDoctor
from producer.doctor.machine import Machine, this_host
from producer.doctor.store import Store
from producer.stack.redis_server import find_live

NO_REDIS = "no stack runs in {!r} and APPLEJACK_REDIS_URL is not set"
SILENT_BEATS = 1.5  # leases a worker may be silent before it is told; it beats six times in one


def look_around(settings: Settings) -> Examined:
    """Everything that can be looked at without the worker's libraries."""
    return examine(Machine(settings.dir, this_host()).checks()) + look_at_redis(settings) + look_at_endpoint(settings)


def look_at_redis(settings: Settings) -> Examined:
    """Redis and the fleet; what is behind a Redis that does not answer is told as not checked."""
    url = settings.redis_url or find_live(settings.dir)
    if url is None:
        return unseen(["redis", "fleet"], NO_REDIS.format(str(settings.dir)))
    secret = url.get_secret_value()
    with connect(secret) as client:
        fleet = FleetDoctor(Ledger(client), client, version(), SILENT_BEATS * settings.lease_seconds).checks()
        return in_turn([*Store(url).checks(), *fleet], "Redis does not answer")


def look_at_endpoint(settings: Settings) -> Examined:
    """The model server this machine's generate workers would ask."""
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    named = "endpoint" in settings.model_fields_set
    return in_turn(
        Endpoint(settings.endpoint, settings.model, key, named).checks(), "the endpoint does not answer as it should"
    )


def in_turn(checks: list[Check], why: str) -> Examined:
    """The first check, and the others where it found nothing."""
    first = examine(checks[:1])
    if first.findings or first.not_checked:
        return first + unseen([check.name for check in checks[1:]], why)
    return first + examine(checks[1:])


def unseen(checks: list[str], why: str) -> Examined:
    """Checks that have nothing to look at, for one reason."""
    return Examined(not_checked=tuple(Unseen(name, why) for name in checks))
