"""/metrics: Flower's metrics and the ledger's, for a login or for the token of APPLEJACK_METRICS_TOKEN."""

import asyncio
import hmac

import prometheus_client
from flower.views.monitor import Metrics
from tornado.web import HTTPError

from config.ledger import Ledger
from config.settings import Settings
from producer.flower.prometheus.collector import exposition, unavailable

BEARER = "Bearer "
LEDGER_SECONDS = 5.0  # for the ledger to answer; Prometheus waits 10 s for the whole page


class MetricsPage(Metrics):  # type: ignore[misc]  # Flower has no type information
    """Flower leaves its own page open; it contains names of tasks, workers and runs."""

    def initialize(self, ledger: Ledger, settings: Settings) -> None:
        """Store what the page reads from."""
        self._ledger, self._token = ledger, settings.metrics_token

    async def get(self) -> None:
        """The metrics. 401 for a wrong token, and without a token or a login."""
        given = self.request.headers.get("Authorization", "")
        if given.startswith(BEARER):
            self._require_token(given.removeprefix(BEARER))
        elif not self.current_user:  # Flower's check of the password raises, too
            raise HTTPError(401)
        await self._write()

    def _require_token(self, given: str) -> None:
        expected = self._token.get_secret_value() if self._token else ""
        if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
            raise HTTPError(401, "the token is not the one of APPLEJACK_METRICS_TOKEN")

    async def _write(self) -> None:
        self.application.purge_offline_worker_metrics()
        reading = asyncio.get_running_loop().run_in_executor(None, exposition, self._ledger)
        try:
            own = await asyncio.wait_for(reading, LEDGER_SECONDS)
        except TimeoutError:  # the thread ends later, when its connection does
            own = unavailable()
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.set_header("Cache-Control", "no-store")
        self.write(prometheus_client.generate_latest() + own)
