"""Make pytest as strict as trial: a logged failure or a left timer fails the test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

settings.register_profile("supportbot", deadline=None)  # a busy machine is no fault
settings.load_profile("supportbot")


@implementer(ILogObserver)
class Failures(list[Failure]):
    """A log observer that keeps the failures."""

    def __call__(self, event: LogEvent) -> None:
        if (failure := event.get("log_failure")) is not None:
            self.append(failure)

    def flush(self, *kinds: type[BaseException]) -> list[Failure]:
        """Take out, and return, the failures of these kinds; of all when none is given.

        What is left at the end of the test fails it.
        """
        taken = [failure for failure in self if not kinds or failure.check(*kinds)]
        self[:] = [failure for failure in self if failure not in taken]
        return taken


@pytest.fixture(scope="session", autouse=True)
def _quick_collections() -> None:
    gc.collect()
    gc.freeze()  # what is there before the first test need not be looked through again


@pytest.fixture(autouse=True)
def logged(request: pytest.FixtureRequest) -> Iterator[Failures]:
    """The failures logged so far; a test that expects some flushes them."""
    from twisted.internet import reactor

    failures = Failures()
    before = reactor.getDelayedCalls()
    by_trial = request.cls is not None and issubclass(request.cls, SynchronousTestCase)
    if not by_trial:  # those have `flushLoggedErrors`
        globalLogPublisher.addObserver(failures)
    yield failures
    if by_trial:
        globalLogPublisher.addObserver(failures)
    gc.collect()  # a Deferred reports its lost failure when it is collected
    gc.freeze()  # what is left need not be looked through after the next test
    globalLogPublisher.removeObserver(failures)
    left = [call for call in reactor.getDelayedCalls() if call not in before]
    for call in left:
        call.cancel()
    assert not failures, [failure.getErrorMessage() for failure in failures]
    assert not left, left
