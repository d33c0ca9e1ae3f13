"""The pages: the chat, and two that show the OpenAPI document.

They are made of files of our own, and say no word to any other host. Addresses are
relative, so a proxy may put a path in front of all of it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from html import escape
from string import Template

import msgspec

from supportbot.channels.http.assets import Asking, Asset, Assets, asset, serve
from supportbot.channels.http.responses import Header
from supportbot.settings import PageSettings

# ReDoc makes two style elements: an empty one that it fills by script, and one for
# scrollbars, with a text of its version's. Its search runs in a worker from a blob.
_REDOC_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)


def _policy(styles: str = "'self'", framers: Iterable[str] = ()) -> str:
    """What a page may load, and the origins that may put it into a frame."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {styles};"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors "
    ) + (" ".join(framers) or "'none'")


_POLICY = _policy()
_REDOC_POLICY = _policy(f"'self' {_REDOC_STYLES}") + "; worker-src blob:"

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>supportbot API</title>
<link rel="icon" href="data:,">
$styles
</head>
<body data-document="openapi.json"$search>
<nav class="pages" aria-label="Documentation">$links</nav>
<main id="page"></main>
$scripts
</body>
</html>
""")
_LINKS = {"docs": "Try it out", "redoc": "Read"}

# With `interactive-widget` a phone's keyboard makes the page smaller, and covers none
# of it. What stands in the chat's element is painted until the chat is there, and not
# read aloud: the same words follow at once.
_CHAT = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover,\
 interactive-widget=resizes-content">
<title>$title</title>
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#fff" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#14171c" media="(prefers-color-scheme: dark)">
<link rel="icon" type="image/svg+xml" href="static/$icon">
<style>$style</style>
$modules
<script type="module" src="static/$entry"></script>
</head>
<body>
<main>
<support-chat heading="$title"><p aria-hidden="true">$title</p></support-chat>
</main>
<noscript><p>This chat needs JavaScript. Please turn it on and load the page again.</p>\
</noscript>
</body>
</html>
""")
_CHAT_GUARDS = (
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (
        b"Permissions-Policy",
        b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(),"
        b" usb=()",
    ),
)
_WIDGET = "chat-*/widget.js"
"""Is for pages of others."""


class Page(msgspec.Struct, frozen=True):
    """A page and the policy that it lives under.

    Attributes:
        guards: more headers.
    """

    asset: Asset
    policy: str
    guards: Sequence[Header] = ()

    def serve(self, exchange: Asking) -> None:
        """Answer with the page."""
        policy = (b"Content-Security-Policy", self.policy.encode())
        serve(exchange, self.asset, [policy, *self.guards])


def chat_page(assets: Assets, settings: PageSettings) -> Page:
    """The chat, alone on a page.

    Raises:
        LookupError: files of it are not there.
    """
    entry, sheet, icon = _find(
        assets, "chat-*/support-chat.js", "chat-*/page.css", "chat-*/icon.svg"
    )
    found = assets.get(sheet)
    assert found is not None, sheet
    # Named at once they are fetched side by side, and not one after the other as each
    # is found to import the next.
    modules = [name for name in assets if fnmatchcase(name, "chat-*/*.js")]
    modules += _find(assets, "marked-*/marked.js", "dompurify-*/purify.js")
    page = _CHAT.substitute(
        title=escape(settings.title),
        # One file less to wait for: the first words are there before the modules run.
        style=found.body.decode(),
        icon=icon,
        modules="\n".join(
            f'<link rel="modulepreload" href="static/{name}">'
            for name in modules
            if name != entry and not fnmatchcase(name, _WIDGET)
        ),
        entry=entry,
    )
    digest = b64encode(sha256(found.body).digest()).decode()
    policy = (
        _policy(f"'sha256-{digest}'", settings.frame_ancestors)
        + "; require-trusted-types-for 'script'; trusted-types dompurify"
    )
    return Page(asset("chat.html", page.encode()), policy, _CHAT_GUARDS)


class Pages:
    """Swagger UI at `/docs`, to try things out; ReDoc at `/redoc`, to read.

    Args:
        assets: where the pages' scripts and styles have to be.

    Raises:
        LookupError: some are not there.
    """

    def __init__(self, assets: Assets) -> None:
        swagger = _page(
            "docs",
            _find(assets, "swagger-ui-*/swagger-ui.css", "docs/docs.css"),
            _find(assets, "swagger-ui-*/swagger-ui-bundle.js", "docs/swagger.js"),
        )
        redoc = _page(
            "redoc",
            _find(assets, "docs/docs.css"),
            _find(assets, "redoc-*/redoc.standalone.js", "docs/redoc.js"),
        )
        self.docs = Page(swagger, _POLICY)
        self.redoc = Page(redoc, _REDOC_POLICY)


def _find(assets: Assets, *patterns: str) -> list[str]:
    """The names that fit, so that a version stands nowhere but in a folder's name."""
    found = []
    for pattern in patterns:
        names = [name for name in assets if fnmatchcase(name, pattern)]
        if len(names) != 1:
            raise LookupError(f"{pattern} fits {len(names)} assets")
        found += names
    return found


def _page(here: str, styles: Sequence[str], scripts: Sequence[str]) -> Asset:
    links = [
        f'<a href="{path}"{" aria-current=page" * (path == here)}>{text}</a>'
        for path, text in _LINKS.items()
    ]
    page = _PAGE.substitute(
        styles="\n".join(
            f'<link rel="stylesheet" href="static/{name}">' for name in styles
        ),
        scripts="\n".join(f'<script src="static/{name}"></script>' for name in scripts),
        links=" ".join(links),
        search=" data-search" * (here == "redoc"),
    )
    return asset(f"{here}.html", page.encode())
