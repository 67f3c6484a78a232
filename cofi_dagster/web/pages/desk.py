"""What every page has: the installation, the templates, who is asking, forms that come back, and parts that live.

A page is a module with a function ``routes(desk)``; what it shows it reads itself. Nothing of a single page is here.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Hashable
from typing import Annotated, Any
from urllib.parse import parse_qsl

import jinja2
import sqlalchemy as sa
from fastapi import Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cofi_dagster.settings import Settings
from cofi_dagster.web.batch_reads import BatchReads
from cofi_dagster.web.control_api import Verbs
from cofi_dagster.web.keys import Key, Role
from cofi_dagster.web.pages.fragments import Fragments
from cofi_dagster.web.pages.static_files import address
from cofi_dagster.web.pages.words import filters
from cofi_dagster.web.session import Sessions, session_id

NAVIGATION = (
    ("batches", "/cofi", "Batches"),
    ("trends", "/cofi/trends", "Trends"),
    ("calls", "/cofi/calls", "Calls"),
    ("exceptions", "/cofi/exceptions", "Exceptions"),
    ("tasks", "/cofi/uploads", "Uploads and reaudits"),
    ("fleet", "/cofi/fleet", "Fleet"),
)
"""The pages that the head of every page leads to: name, address, title."""

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; media-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LARGEST_FORM = 64 * 1024
_WORTH_PACKING = 1000


Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
"""An id in an address."""
Offset = Annotated[int, Field(ge=0, le=2**53)]
"""How many rows a page passes over."""


class FormRefused(ValueError):
    """A form cannot be taken; the message says why."""


class ForgedForm(FormRefused):
    """A form does not carry its session's token."""


class Desk:
    """What the pages of one installation share."""

    def __init__(
        self, settings: Settings, engine: sa.Engine, reads: BatchReads, verbs: Verbs, sessions: Sessions
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.reads = reads
        self.verbs = verbs
        self.sessions = sessions
        self._fragments = Fragments()
        self._templates = _templates(settings)

    # -- who asks ------------------------------------------------------------------------------------------------

    def may_act(self, request: Request) -> bool:
        """Whether the person may also start and stop."""
        key = key_of(request)
        return key is None or key.role is Role.OPERATOR

    def who(self, request: Request) -> str:
        """Whose name is kept with what the person does."""
        key = key_of(request)
        return key.name if key is not None else "this machine"

    # -- pages ---------------------------------------------------------------------------------------------------

    def show(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """A whole page from a template; ``page`` in the context names the place in the navigation."""
        said = self.sessions.said(request.headers.raw)
        key = key_of(request)
        html = self._render(
            template,
            token=self.sessions.token(session_id(request.scope)),
            may_act=self.may_act(request),
            visitor=key,
            can_log_out=request.scope.get("state", {}).get("session") is not None,
            said=said,
            **context,
        )
        response = _html(request, html, status)
        if said is not None:
            self.sessions.forget_said(response)
        return response

    def live(
        self, request: Request, template: str, key: Hashable, context: Callable[[], dict[str, Any]], every: int = 2
    ) -> Response:
        """The live part of a page, the same for all who may do the same; it is asked for again in ``every`` seconds.

        ``context`` is called only where the part is not fresh. The browser puts its session's token into the forms.
        """
        may_act = self.may_act(request)
        text, tag = self._fragments.get(
            (template, key, may_act), lambda: self._render(template, token="", may_act=may_act, **context())
        )
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag, "Cofi-Every": str(every)})
        response = _html(request, text, 200)
        response.headers["ETag"] = tag
        response.headers["Cofi-Every"] = str(every)
        return response

    def _render(self, template: str, **context: Any) -> str:
        return self._templates.get_template(template).render(**context)

    # -- forms ---------------------------------------------------------------------------------------------------

    async def form(self, request: Request, largest: int = _LARGEST_FORM) -> dict[str, str]:
        """The fields of a form that was sent from one of this session's pages; ``largest``: bytes.

        Raises:
            FormRefused: it is no form, or too large.
            ForgedForm: it does not carry the session's token.
        """
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise FormRefused("the request must be a form")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > largest:
                raise FormRefused("the form is too large")
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        self.check_token(request, fields)
        return fields

    def check_token(self, request: Request, fields: dict[str, str]) -> None:
        """Take the token out of the fields of a form.

        Raises:
            ForgedForm: it is not the session's.
        """
        if not self.sessions.is_token(session_id(request.scope), fields.pop("csrf", "")):
            raise ForgedForm("the page was too old, or the form is not from here: go back, load it anew, try again")

    def back(self, to: str, sentence: str, *, is_error: bool = False) -> Response:
        """After a form: on to a page, which begins with the sentence. ``to`` is one of COFI's own addresses."""
        response = RedirectResponse(to, 303)
        self.sessions.say(response, sentence, is_error=is_error)
        return response


def key_of(request: Request) -> Key | None:
    """The key that the request came with, or that its session was opened with."""
    key = request.scope.get("state", {}).get("key")
    return key if isinstance(key, Key) else None


def own_address(address: str, otherwise: str) -> str:
    """An address to go on to, if it is one of this site's own."""
    is_own = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_own else otherwise


def _templates(settings: Settings) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cofi_dagster.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters(settings.time_zone))
    environment.globals.update(static=address, navigation=NAVIGATION, zone=settings.time_zone)
    return environment


def _html(request: Request, html: str, status: int) -> HTMLResponse:
    body = html.encode()
    headers = dict(_HEADERS)
    if len(body) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 5)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return HTMLResponse(body, status, headers)
