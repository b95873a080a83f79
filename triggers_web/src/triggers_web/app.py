"""The application: each page is a function of what the storage says at that moment.

No rule is decided here. What there is to see comes from the storage, why a task has not run from
:mod:`triggers_core.insight.diagnosis`, and what is done to it is the manager's.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from triggers_core.errors import (
    DispatchError,
    InstanceNotFound,
    InvalidKwargs,
    InvalidName,
    InvalidTransition,
    SessionClosed,
    StorageError,
    TaskNotFound,
    TriggersError,
)
from triggers_core.insight.diagnosis import Facts, explain
from triggers_core.insight.graph import graph_of
from triggers_core.insight.notes import closed_at, note, queued_for, ran_for
from triggers_core.insight.viewing import facts_of, manager_of, viewer_of
from triggers_core.insight.wording import waits_of
from triggers_core.plugins.in_use import Plugins, default_plugins
from triggers_core.rules.closing import Closing
from triggers_core.rules.instance import Status
from triggers_core.storage.base import Storage
from triggers_web.acting import ACTIONS, ENDINGS, Form, endings, offered
from triggers_web.findings import lines_of
from triggers_web.guard import Guard, SafeHeaders, answered_hosts, read_form
from triggers_web.layout import TooLarge
from triggers_web.picture import Drawing, draw
from triggers_web.rendering import link, render

SESSIONS_A_PAGE = 25
INSTANCES_A_PAGE = 100
MOST_PAGES = 100_000

_SHOWN_APART = frozenset({"error", "times"})
"""Of the metadata, what a page shows in words."""

_STATUS_OF: Mapping[type[TriggersError], int] = {
    InstanceNotFound: HTTPStatus.NOT_FOUND,
    TaskNotFound: HTTPStatus.NOT_FOUND,
    InvalidName: HTTPStatus.NOT_FOUND,
    InvalidTransition: HTTPStatus.CONFLICT,
    SessionClosed: HTTPStatus.CONFLICT,
    InvalidKwargs: HTTPStatus.BAD_REQUEST,
    DispatchError: HTTPStatus.ACCEPTED,  # it is recorded, and recovery will send it
    StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def create_app(
    storage: Storage,
    *,
    plugins: Plugins | None = None,
    token: str | None = None,
    allowed_hosts: Iterable[str] = (),
) -> ASGIApp:
    """Return the ASGI application that shows a storage's sessions.

    Every address in it is relative, so that it also works below a proxy's or another
    application's path that ends in ``/``.

    Args:
        storage: whose sessions.
        plugins: the plugins to use; None for this process's.
        token: lets whoever knows it mend what they see: replay, skip and the like; None for
            read-only.
        allowed_hosts: names, without a port, that requests may have in ``Host`` besides
            ``localhost``, ``127.0.0.1`` and ``[::1]``.
    """
    pages = _Pages(storage, plugins or default_plugins(), Guard(token))
    routes = [
        Route("/", pages.sessions),
        Route("/session", pages.session),
        Route("/task", pages.task),
        Route("/instance", pages.instance),
        Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
    ]
    if token is not None:
        routes += [
            Route("/login", pages.login),
            Route("/login", pages.log_in, methods=["POST"]),
            Route("/logout", pages.log_out, methods=["POST"]),
            *(
                Route(f"/{action}", partial(pages.act, action), methods=["POST"])
                for action in ACTIONS
            ),
            *(Route(f"/{how}", partial(pages.end, how), methods=["POST"]) for how in ENDINGS),
        ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(
                TrustedHostMiddleware,
                allowed_hosts=answered_hosts(allowed_hosts),
                www_redirect=False,
            )
        ],
        exception_handlers={
            TriggersError: pages.triggers_error,
            HTTPException: pages.http_error,
            Exception: pages.error,
        },
    )
    return SafeHeaders(app)


@dataclass(frozen=True)
class _Slice:
    """One page of a long list."""

    items: Sequence[Any]
    page: int
    total: int
    size: int

    @property
    def first(self) -> int:
        return (self.page - 1) * self.size + 1

    @property
    def last(self) -> int:
        return self.first + len(self.items) - 1

    @property
    def has_next(self) -> bool:
        return self.last < self.total


@dataclass(frozen=True)
class _Session:
    """A line of the list of sessions."""

    uid: str
    manager_name: str
    counts: Mapping[Status, int]
    closing: Closing | None


class _Pages:
    """The endpoints. Those that only read are plain functions: Starlette runs them in threads."""

    def __init__(self, storage: Storage, plugins: Plugins, guard: Guard) -> None:
        self._storage = storage
        self._plugins = plugins
        self._guard = guard

    def sessions(self, request: Request) -> Response:
        query = request.query_params.get("q", "").strip()
        page = _page(request)
        wanted = query.casefold()
        found: deque[tuple[str, str]] = deque(maxlen=page * SESSIONS_A_PAGE)
        total = 0
        for session_uid, manager_name in self._storage.sessions():
            if wanted in session_uid.casefold():
                found.append((session_uid, manager_name))
                total += 1
        older = len(found) - max(0, (page - 1) * SESSIONS_A_PAGE)
        newest_first = [found[index] for index in range(min(older, SESSIONS_A_PAGE) - 1, -1, -1)]
        items = [self._counted(*each) for each in newest_first]
        return self._page(
            request,
            "sessions.html",
            query=query,
            sessions=_Slice(items, page, total, SESSIONS_A_PAGE),
        )

    def session(self, request: Request) -> Response:
        return self._session_page(request, _asked(request, "uid"), is_live=True)

    def task(self, request: Request) -> Response:
        session_uid, name = _asked(request, "session"), _asked(request, "name")
        facts = self._facts(session_uid)
        own = [each for each in facts.instances if each.task_name == name]
        present = facts.configuration.get(name)
        if present is None and not own:
            raise TaskNotFound(f"session {session_uid!r} has no task {name!r}")
        return self._page(
            request,
            "task.html",
            is_live=True,
            session_uid=session_uid,
            task=present or facts.config_of(own[-1]),
            is_retired=present is None,
            why=lines_of(explain(name, facts)),
            instances=_slice(own, request),
            note=partial(note, now=facts.now),
            waits=lambda instance: waits_of(instance, facts.config_of(instance)),
        )

    def instance(self, request: Request) -> Response:
        return self._instance_page(
            request, _asked(request, "session"), _asked(request, "name"), is_live=True
        )

    def login(self, request: Request) -> Response:
        return self._page(request, "login.html", problem="")

    async def log_in(self, request: Request) -> Response:
        form = await read_form(request)
        if not self._guard.knows(form.get("token", "").strip()):
            problem = "That is not the token that the server printed when it started."
            return self._page(request, "login.html", problem=problem, code=HTTPStatus.FORBIDDEN)
        response = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        self._guard.log_in(request, response)
        return response

    async def log_out(self, request: Request) -> Response:
        self._guard.check_may_act(request, await read_form(request))
        response = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        self._guard.log_out(response)
        return response

    async def act(self, action: str, request: Request) -> Response:
        """Do what a form asks for, if its sender may, and show the instance that came of it."""
        form = await read_form(request)
        self._guard.check_may_act(request, form)
        session_uid, name = form.get("session", ""), form.get("name", "")
        try:
            shown = await run_in_threadpool(self._done, action, session_uid, name, form)
        except InvalidKwargs as error:
            return await run_in_threadpool(
                self._instance_page,
                request,
                session_uid,
                name,
                problem=str(error),
                typed=form,
                code=HTTPStatus.BAD_REQUEST,
            )
        return RedirectResponse(
            link("instance", session=session_uid, name=shown), HTTPStatus.SEE_OTHER
        )

    async def end(self, how: str, request: Request) -> Response:
        """End the session, if the form's sender may, and show it."""
        form = await read_form(request)
        self._guard.check_may_act(request, form)
        session_uid = form.get("session", "")
        try:
            await run_in_threadpool(self._ended, how, session_uid, form)
        except InvalidKwargs as error:
            return await run_in_threadpool(
                self._session_page,
                request,
                session_uid,
                problem=str(error),
                typed=form,
                code=HTTPStatus.BAD_REQUEST,
            )
        return RedirectResponse(link("session", uid=session_uid), HTTPStatus.SEE_OTHER)

    async def triggers_error(self, request: Request, error: Exception) -> Response:
        known = (code for kind, code in _STATUS_OF.items() if isinstance(error, kind))
        code = next(known, HTTPStatus.INTERNAL_SERVER_ERROR)
        return self._error_page(request, code, str(error))

    async def http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._error_page(request, error.status_code, error.detail, error.headers)

    async def error(self, request: Request, _error: Exception) -> Response:
        code = HTTPStatus.INTERNAL_SERVER_ERROR
        return self._error_page(request, code, "the server's output says why")

    def _done(self, action: str, session_uid: str, name: str, form: Form) -> str:
        manager = manager_of(self._plugins, self._storage, session_uid)
        return ACTIONS[action](manager, name, form).name

    def _ended(self, how: str, session_uid: str, form: Form) -> None:
        ENDINGS[how](manager_of(self._plugins, self._storage, session_uid), form)

    def _facts(self, session_uid: str) -> Facts:
        return facts_of(viewer_of(self._plugins, self._storage, session_uid))

    def _manager_name(self, session_uid: str) -> str:
        with self._storage.read(session_uid) as reader:
            return reader.manager_name() or ""

    def _counted(self, session_uid: str, manager_name: str) -> _Session:
        with self._storage.read(session_uid) as reader:
            counts = Counter(instance.status for instance in reader.instances())
            closing = reader.closing()
        return _Session(session_uid, manager_name, counts, closing)

    def _session_page(
        self,
        request: Request,
        session_uid: str,
        *,
        problem: str = "",
        typed: Form | None = None,
        is_live: bool = False,
        code: int = HTTPStatus.OK,
    ) -> Response:
        facts = self._facts(session_uid)
        status = _status(request)
        shown = [each for each in facts.instances if status in {None, each.status}]
        return self._page(
            request,
            "session.html",
            session_uid=session_uid,
            manager_name=self._manager_name(session_uid),
            over="" if facts.closing is None else closed_at(facts.closing, facts.now),
            drawing=_drawing(facts),
            counts=Counter(each.status for each in facts.instances),
            status=status,
            instances=_slice(shown, request),
            note=partial(note, now=facts.now),
            waits=lambda instance: waits_of(instance, facts.config_of(instance)),
            problem=problem,
            typed=typed,
            offered=endings(facts) if self._guard.allows_actions else (),
            is_live=is_live,
            code=code,
        )

    def _instance_page(
        self,
        request: Request,
        session_uid: str,
        name: str,
        *,
        problem: str = "",
        typed: Mapping[str, str] | None = None,
        is_live: bool = False,
        code: int = HTTPStatus.OK,
    ) -> Response:
        facts = self._facts(session_uid)
        found = next((each for each in facts.instances if each.name == name), None)
        if found is None:
            raise InstanceNotFound(f"session {session_uid!r} has no instance {name!r}")
        return self._page(
            request,
            "instance.html",
            session_uid=session_uid,
            instance=found,
            clones=[each for each in facts.instances if each.parent == name],
            why=lines_of(explain(name, facts)),
            queued=queued_for(found, facts.now),
            ran=ran_for(found, facts.now),
            received=self._storage.task_config(found).received(found.trigger_kwargs),
            metadata={
                key: value for key, value in found.metadata.items() if key not in _SHOWN_APART
            },
            problem=problem,
            typed=typed,
            offered=offered(found, facts) if self._guard.allows_actions else (),
            is_live=is_live,
            code=code,
        )

    def _error_page(
        self,
        request: Request,
        code: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        phrase = HTTPStatus(code).phrase
        response = self._page(request, "error.html", phrase=phrase, detail=detail, code=code)
        response.headers.update(headers or {})
        return response

    def _page(
        self,
        request: Request,
        template: str,
        *,
        is_live: bool = False,
        code: int = HTTPStatus.OK,
        **values: Any,
    ) -> Response:
        may_act = self._guard.is_logged_in(request)
        content = render(
            template,
            is_live=is_live,
            allows_actions=self._guard.allows_actions,
            may_act=may_act,
            form_key=self._guard.form_key if may_act else "",
            **values,
        )
        # What sessions hold may be secret, and is old a moment later.
        return HTMLResponse(content, code, {"cache-control": "no-store"})


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"the address names no {name!r}")
    return value


def _page(request: Request) -> int:
    text = request.query_params.get("page", "1")
    page = (
        int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PAGES)) else 0
    )
    if not 1 <= page <= MOST_PAGES:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no page {text!r:.20}")
    return page


def _status(request: Request) -> Status | None:
    text = request.query_params.get("status", "")
    if text and text not in set(Status):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no status {text!r:.20}")
    return Status(text) if text else None


def _slice(items: Sequence[Any], request: Request) -> _Slice:
    page = _page(request)
    start = (page - 1) * INSTANCES_A_PAGE
    return _Slice(items[start : start + INSTANCES_A_PAGE], page, len(items), INSTANCES_A_PAGE)


def _drawing(facts: Facts) -> Drawing | None:
    """Return the session's picture; None if it is too large for one."""
    try:
        return draw(graph_of(facts.configuration, facts.instances, fired=facts.fired))
    except TooLarge:
        return None
