"""What the tests of the page rely on: that troubles are noticed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser import People
from tests.test_page_looks import cut_off

pytest_plugins = ("tests.browser_fixture",)


@pytest.mark.parametrize(
    ("act", "trouble"),
    [
        ("console.error('oh')", "console: oh"),
        ("console.warn('oh')", "console: oh"),
        ("setTimeout(() => { throw new Error('oh') })", "error: oh"),
        ("void Promise.reject(new Error('oh'))", "error: oh"),
        ("setTimeout(() => alert('oh'))", "dialog: oh"),
        ("fetch('nowhere').then(() => 1)", "refused: GET /nowhere: 404"),
        ("fetch('http://evil.invalid/').catch(() => {})", "violates"),
        ("document.body.setAttribute('style', 'color: red')", "violates"),
        ("try { document.body.setAttribute('onclick', '') } catch {}", "TrustedScript"),
        ("try { document.body.innerHTML = '' } catch {}", "TrustedHTML"),
    ],
)
def test_a_trouble_is_noticed(act: str, trouble: str, people: People, url: str) -> None:
    page = people.come(url).page
    page.evaluate(act)
    page.evaluate("new Promise((done) => setTimeout(done))")  # what was put off is done
    with pytest.raises(AssertionError, match=re.escape(trouble)):
        people.leave()


def test_a_fault_is_found_in_the_shadow(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.is_accessible()
    assert cut_off(visitor) == []
    visitor.composer.evaluate("(one) => { one.style.minWidth = '3000px' }")
    visitor.composer.evaluate("(one) => { one.ariaLabel = one.placeholder = '' }")
    expect(visitor.page.get_by_role("textbox")).to_have_attribute("aria-label", "")
    with pytest.raises(AssertionError, match="label"):
        visitor.is_accessible()
    assert cut_off(visitor) != []
