"""Where alerts are told: the log, a Slack-compatible webhook, e-mail. Addresses and passwords appear in no message."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage

import httpx

from cofi_dagster.settings import Settings

_SECONDS = 10.0
_LOG = logging.getLogger("cofi.alerts")


class NotTold(RuntimeError):
    """A sink could not be reached; the message says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Sink:
    """A place to tell: ``tell(subject, text)`` raises :class:`NotTold` where it cannot."""

    name: str
    tell: Callable[[str, str], None]


def sinks_of(settings: Settings, client: httpx.Client | None = None) -> list[Sink]:
    """The sinks that the settings name; the log always."""
    sinks = [Sink("log", _log)]
    if settings.alert_webhook_url is not None:
        url = settings.alert_webhook_url.get_secret_value()
        sinks.append(Sink("webhook", lambda subject, text: _post(url, text, client)))
    if settings.alert_email_to:
        sinks.append(Sink("email", lambda subject, text: _mail(settings, subject, text)))
    return sinks


def _log(_subject: str, text: str) -> None:
    _LOG.warning(text)


def _post(url: str, text: str, client: httpx.Client | None) -> None:
    try:
        reply = (
            client.post(url, json={"text": text}) if client else httpx.post(url, json={"text": text}, timeout=_SECONDS)
        )
    except httpx.HTTPError as error:
        raise NotTold(f"the webhook cannot be reached ({type(error).__name__})") from None
    except httpx.InvalidURL:
        raise NotTold("the webhook's URL is none") from None
    if reply.status_code >= 300:
        raise NotTold(f"the webhook answered with HTTP {reply.status_code}")


def _mail(settings: Settings, subject: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = settings.alert_email_from
    message["To"] = ", ".join(settings.alert_email_to)
    message.set_content(text)
    kind = smtplib.SMTP_SSL if settings.smtp_tls == "tls" else smtplib.SMTP
    try:
        with kind(settings.smtp_host, settings.smtp_port, timeout=_SECONDS) as server:
            if settings.smtp_tls == "starttls":
                server.starttls()
            if settings.smtp_user and settings.smtp_password is not None:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise NotTold(f"the mail server did not take it ({type(error).__name__})") from None
