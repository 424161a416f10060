"""Checks this machine and the fleet for known misconfigurations, for `applejack doctor`."""

from config.diagnostics import Check, DoctorReport, Skipped, run_checks
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.settings import Settings
from config.version import version
from producer.doctor.agreement import Agreement
from producer.doctor.endpoint import Endpoint
from producer.doctor.exposure import Exposure
from producer.doctor.fleet import FleetDoctor
from producer.doctor.held import Held
from producer.doctor.mac import Mac
from producer.doctor.machine import Machine, this_host
from producer.doctor.store import Store
from producer.stack.redis_server import find_live

NO_REDIS = "no stack is running in {!r} and APPLEJACK_REDIS_URL is not set"
SILENT_LEASES = 1.5  # lease times without a heartbeat before a worker is reported; it sends six in one lease time


def run_all(settings: Settings) -> DoctorReport:
    """Run every check that does not need the worker's libraries."""
    machine = Machine(settings.dir, this_host(), concurrency=settings.concurrency, mac=Mac(settings.caffeinate))
    return (
        run_checks([*machine.checks(), *Exposure(settings.dir).checks()])
        + check_redis(settings)
        + check_endpoint(settings)
    )


def check_redis(settings: Settings) -> DoctorReport:
    """Check Redis and the fleet. If Redis does not answer, the other checks are reported as skipped."""
    url = settings.redis_url or find_live(settings.dir)
    if url is None:
        return skipped(["redis", "fleet"], NO_REDIS.format(str(settings.dir)))
    secret = url.get_secret_value()
    with ledger_client(secret) as client:
        ledger, silence = Ledger(client), SILENT_LEASES * settings.lease_seconds
        fleet = FleetDoctor(ledger, client, silence).checks()
        agreement = Agreement(ledger.fleet, version(), silence).checks()
        checks = [*Store(url).checks(), *fleet, *agreement, *Held(ledger, silence).checks()]
        return stop_at_first(checks, "Redis is not answering")


def check_endpoint(settings: Settings) -> DoctorReport:
    """Check the model server that this machine's generate workers would use."""
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    configured = "endpoint" in settings.model_fields_set
    return stop_at_first(
        Endpoint(settings.endpoint, settings.model, key, configured).checks(), "the endpoint is not answering correctly"
    )


def stop_at_first(checks: list[Check], why: str) -> DoctorReport:
    """Run the first check, and the others only if it has no finding; `why` is the reason for skipping them."""
    first = run_checks(checks[:1])
    if first.findings or first.not_checked:
        return first + skipped([check.name for check in checks[1:]], why)
    return first + run_checks(checks[1:])


def skipped(checks: list[str], why: str) -> DoctorReport:
    """A report in which all of these checks are skipped for the same reason."""
    return DoctorReport(not_checked=tuple(Skipped(name, why) for name in checks))
