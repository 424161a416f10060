"""The base of the pages that need the index of a run."""

from config.ledger import Ledger
from config.settings import Settings
from producer.flower.handlers import LedgerPage
from producer.flower.jobs.reading import JobIndexes


class IndexedPage(LedgerPage):
    """A page with the indexes that all pages share; serve.py makes them."""

    def initialize(self, ledger: Ledger, settings: Settings, indexes: JobIndexes | None = None) -> None:
        """Store what the page reads from."""
        super().initialize(ledger, settings)
        self.indexes = indexes or JobIndexes(ledger)
