"""Open streams share their loads: many pages read the ledger as often as one. Actions return to own pages."""

import asyncio
from collections.abc import Mapping

import pytest

from config.errors import ApplejackError, StoreDeniedError, StoreUnavailableError, UsageError
from producer.flower.handlers import Loaded, SharedLoads, is_own_page, status_of


def test_pages_that_are_open_at_once_load_once() -> None:
    loaded: list[str] = []

    async def load(name: str) -> Loaded:
        loaded.append(name)
        await asyncio.sleep(0.01)
        return {"name": name}, 0.0

    async def ten_pages() -> list[Mapping[str, object]]:
        loads = SharedLoads(60.0)
        return await asyncio.gather(*(loads.get(name, lambda name=name: load(name)) for name in ["one", "two"] * 5))  # type: ignore[misc]

    found = asyncio.run(ten_pages())
    assert sorted(loaded) == ["one", "two"]
    assert [values["name"] for values in found] == ["one", "two"] * 5


def test_an_old_load_is_done_again() -> None:
    loaded: list[int] = []

    async def load() -> Loaded:
        loaded.append(1)
        return {}, 0.0

    async def twice() -> None:
        loads = SharedLoads(0.01)
        await loads.get("page", load)
        await asyncio.sleep(0.02)
        await loads.get("page", load)

    asyncio.run(twice())
    assert len(loaded) == 2


def test_a_load_that_costs_much_is_repeated_seldom() -> None:
    loaded: list[int] = []

    async def slow() -> Loaded:
        loaded.append(1)
        return {}, 0.1  # CPU seconds

    async def watch() -> None:
        loads = SharedLoads(0.001)
        for _ in range(10):
            await loads.get("page", slow)
            await asyncio.sleep(0.01)

    asyncio.run(watch())
    assert len(loaded) == 1  # the next one five seconds after the first


def test_a_load_that_fails_raises_in_each_page() -> None:
    async def fail() -> Loaded:
        raise ValueError("no such run")

    async def ask() -> None:
        loads = SharedLoads(60.0)
        for _ in range(2):
            with pytest.raises(ValueError, match="no such run"):
                await loads.get("page", fail)

    asyncio.run(ask())


def test_a_page_that_leaves_does_not_end_the_load_of_the_others() -> None:
    async def load() -> Loaded:
        await asyncio.sleep(0.05)
        return {"still": "there"}, 0.0

    async def one_leaves() -> Mapping[str, object]:
        loads = SharedLoads(60.0)
        leaving = asyncio.ensure_future(loads.get("page", load))
        staying = asyncio.ensure_future(loads.get("page", load))
        await asyncio.sleep(0.01)
        leaving.cancel()
        return await staying

    assert asyncio.run(one_leaves()) == {"still": "there"}


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("/runs/night", True),
        ("", False),
        ("https://example.com/", False),
        ("//example.com/", False),
        ("/\\example.com/", False),
        ("javascript:alert(1)", False),
        ("/\t/example.com/", False),  # fails without isprintable
        ("/\r\n/example.com/", False),
    ],
)
def test_an_action_returns_to_pages_of_this_site_only(address: str, own: bool) -> None:
    assert is_own_page(address) is own


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no such run"), 400),
        (StoreDeniedError("the user 'generate' may not"), 403),
        (StoreUnavailableError("Redis is away"), 503),
    ],
)
def test_a_refused_action_says_whose_fault_it_is(error: ApplejackError, status: int) -> None:
    assert status_of(error) == status
