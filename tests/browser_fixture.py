"""Visitors for tests with a browser, and pictures of what they saw last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.assistant_servers import alone
from tests.browser import DEMO, Browsers, People, Serve, address, chromium
from tests.program import Server, served


@pytest.fixture(scope="module")
def browsers() -> Iterator[Browsers]:
    """Of one Chromium for all tests of a module; the next may use asyncio again."""
    with chromium() as running:
        yield Browsers(running)


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The page of a server with the simulated services."""
    with served(*DEMO, env=alone(SUPPORTBOT_SHOP__GUESSES__DELAY="0.01")) as server:
        yield address(server)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server, as `served` does; it is gone after the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **options: Any) -> Server:
            return stack.enter_context(served(*arguments, **options))

        yield start


@pytest.fixture
def people(browsers: Browsers, serve: Serve) -> Iterator[People]:
    """The visitors of the test, none of whom may have met with trouble.

    They leave before the servers of the test do.
    """
    people = People(browsers)
    yield people
    people.leave()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add to a failure what could be seen."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    people = getattr(item, "funcargs", {}).get("people")
    if report.when == "call" and report.failed and isinstance(people, People):
        report.sections.append(("pages", people.pictured()))
