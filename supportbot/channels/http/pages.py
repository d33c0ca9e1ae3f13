"""The pages that show the OpenAPI document, without a word to any other host."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from string import Template

import msgspec

from supportbot.channels.http.assets import Asking, Asset, Assets, asset, serve

# ReDoc makes two style elements: an empty one that it fills by script, and one for
# scrollbars, with a text of its version's. Its search runs in a worker from a blob.
_REDOC_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REDOC_POLICY = (
    _POLICY.replace("style-src 'self'", f"style-src 'self' {_REDOC_STYLES}")
    + "; worker-src blob:"
)

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


class Page(msgspec.Struct, frozen=True):
    """A page and the policy that it lives under."""

    asset: Asset
    policy: str

    def serve(self, exchange: Asking) -> None:
        """Answer with the page."""
        policy = (b"Content-Security-Policy", self.policy.encode())
        serve(exchange, self.asset, [policy])


class Pages:
    """Swagger UI at `/docs`, to try things out; ReDoc at `/redoc`, to read.

    Addresses are relative, so a proxy may put a path in front of all of it.

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
