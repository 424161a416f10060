"""Looks for the named traps on this machine and in the fleet; `applejack doctor` shows what it finds."""

from config.diagnostics import Check, DoctorReport, Skipped, run_checks
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.settings import Settings
from config.version import version
from producer.doctor.endpoint import Endpoint
from producer.doctor.fleet import FleetDoctor
from producer.doctor.machine import Machine, this_host
from producer.doctor.store import Store
from producer.stack.redis_server import find_live

NO_REDIS = "no stack runs in {!r} and APPLEJACK_REDIS_URL is not set"
SILENT_LEASES = 1.5  # leases a worker may be silent before it is told; it beats six times in one


def run_all(settings: Settings) -> DoctorReport:
    """Everything that can be looked at without the worker's libraries."""
    return run_checks(Machine(settings.dir, this_host()).checks()) + check_redis(settings) + check_endpoint(settings)


def check_redis(settings: Settings) -> DoctorReport:
    """Redis and the fleet; what is behind a Redis that does not answer is told as not checked."""
    url = settings.redis_url or find_live(settings.dir)
    if url is None:
        return skipped(["redis", "fleet"], NO_REDIS.format(str(settings.dir)))
    secret = url.get_secret_value()
    with ledger_client(secret) as client:
        fleet = FleetDoctor(Ledger(client), client, version(), SILENT_LEASES * settings.lease_seconds).checks()
        return stop_at_first([*Store(url).checks(), *fleet], "Redis does not answer")


def check_endpoint(settings: Settings) -> DoctorReport:
    """The model server this machine's generate workers would ask."""
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    named = "endpoint" in settings.model_fields_set
    return stop_at_first(
        Endpoint(settings.endpoint, settings.model, key, named).checks(), "the endpoint does not answer as it should"
    )


def stop_at_first(checks: list[Check], why: str) -> DoctorReport:
    """The first check, and the others where it found nothing."""
    first = run_checks(checks[:1])
    if first.findings or first.not_checked:
        return first + skipped([check.name for check in checks[1:]], why)
    return first + run_checks(checks[1:])


def skipped(checks: list[str], why: str) -> DoctorReport:
    """Checks that have nothing to look at, for one reason."""
    return DoctorReport(not_checked=tuple(Skipped(name, why) for name in checks))
