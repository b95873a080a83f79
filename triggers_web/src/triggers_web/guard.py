"""Who may do what: the token, what a browser is told to refuse, and which requests are refused.

The server listens on this machine, so the danger is another site in the same browser. It can
neither read (``Host`` is checked, against DNS rebinding) nor act (a form needs a cookie that no
other site's request carries, and a value that no other site can read).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
LARGEST_FORM = 1_000_000
"""Bytes."""
FORM_FIELD = "form_key"
"""The field of every form that proves that it is one of ours."""

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # with no-referrer, a form of ours would have no Origin
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SafeHeaders:
    """Adds :data:`HEADERS` to every response of the application, whatever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_safely)


class Guard:
    """Tells who may act, by a token that only this process and its owner know.

    What a browser keeps, and what its forms carry, are derived from the token, and do not tell
    it. They are good for as long as the process lives.

    Args:
        token: None for nobody may act.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        # A cookie does not know ports: two servers on one machine must not share one.
        self._cookie_name = f"triggers-{self._derived('cookie name')[:12]}"

    @property
    def allows_actions(self) -> bool:
        """Whether anybody may act."""
        return self._token is not None

    @property
    def form_key(self) -> str:
        """What a form carries in :data:`FORM_FIELD`; to be shown to who is logged in."""
        return self._derived("form")

    def knows(self, token: str) -> bool:
        """Return whether this is the token."""
        return self._token is not None and _same(token, self._token)

    def is_logged_in(self, request: Request) -> bool:
        """Return whether the request has the cookie of :meth:`log_in`."""
        given = request.cookies.get(self._cookie_name, "")
        return self._token is not None and _same(given, self._derived("cookie"))

    def log_in(self, request: Request, response: Response) -> None:
        """Give the browser the cookie, until it is closed."""
        response.set_cookie(
            self._cookie_name,
            self._derived("cookie"),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def log_out(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(self._cookie_name, httponly=True, samesite="strict")

    def check_may_act(self, request: Request, form: Mapping[str, str]) -> None:
        """Let pass a program with the token in its header, or a form of ours from a browser that
        is logged in; raise HTTPException 403 for anybody else."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not self.knows(token.strip()):
                raise HTTPException(403, "that is not the token that the server printed")
        elif not self.is_logged_in(request):
            raise HTTPException(403, "log in first, with the token that the server printed")
        elif not _same(form.get(FORM_FIELD, ""), self.form_key):
            raise HTTPException(403, "that form is not of this server; load the page again")

    def _derived(self, purpose: str) -> str:
        key = (self._token or "").encode()
        return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form that a page of ours, or a program, has sent.

    Raises:
        HTTPException: 403 when another site sent it, 413 when it is over :data:`LARGEST_FORM`,
            415 when it is no URL-encoded form, 400 when it is a broken one, or not whole as its
            sender has gone away.
    """
    _check_origin(request)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise HTTPException(415, "expected a form: application/x-www-form-urlencoded")
    body = await _read_body(request)
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise HTTPException(400, "the form is not UTF-8 text") from error


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_FORM:
                raise HTTPException(413, f"a form has at most {LARGEST_FORM} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the form is not whole") from error
    return bytes(body)


def _check_origin(request: Request) -> None:
    """Refuse what a browser says comes from another site. A program says nothing."""
    origin = request.headers.get("origin")
    is_foreign = origin is not None and _host_of(origin) != request.headers.get("host")
    if is_foreign or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "another site sent that; nothing was done")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as "http://["
        return None


def answered_hosts(names: Iterable[str]) -> list[str]:
    """Return the names in ``Host`` that are answered: this machine's own, and these."""
    return list(dict.fromkeys(["localhost", LOOPBACK, "[::1]", *map(host_in_url, names)]))


def host_in_url(host: str) -> str:
    """Return a host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens at the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
