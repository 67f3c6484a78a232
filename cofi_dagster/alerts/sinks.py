"""Where alerts are told: the log, a Slack-compatible webhook, e-mail. Addresses and passwords appear in no message.

What an alert says may quote a machine, so each sink sees to it that its words stay words: one line in the log and in a
subject, no markup in the webhook.
"""

from __future__ import annotations

import email.policy
import logging
import smtplib
import ssl
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import httpx

from cofi_dagster.settings import Settings

_SECONDS = 10.0
_SUBJECT_CHARACTERS = 150
_BREAKING = ("Cc", "Zl", "Zp")
_LOG = logging.getLogger("cofi.alerts")
_POLICY = email.policy.SMTP.clone(cte_type="7bit")
"""Of mails: any server takes them, whatever script they are in."""


class NotTold(RuntimeError):
    """A sink did not take an alert; the message says why, without secrets."""


class Unreachable(NotTold):
    """It cannot be reached, or does not know COFI: it would take no other alert now either."""


@dataclass(frozen=True, slots=True)
class Sink:
    """A place to tell: ``tell(text)`` raises :class:`NotTold` where it cannot."""

    name: str
    tell: Callable[[str], None]


def sinks_of(settings: Settings, client: httpx.Client | None = None) -> list[Sink]:
    """The sinks that the settings name; the log always."""
    sinks = [Sink("log", _log)]
    if settings.alert_webhook_url is not None:
        url = settings.alert_webhook_url.get_secret_value()
        sinks.append(Sink("webhook", lambda text: _post(url, text, client)))
    if settings.alert_email_to:
        sinks.append(Sink("email", lambda text: _mail(settings, text)))
    return sinks


def _log(text: str) -> None:
    _LOG.warning(_one_line(text))


def _post(url: str, text: str, client: httpx.Client | None) -> None:
    body = {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    try:
        reply = client.post(url, json=body) if client else httpx.post(url, json=body, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise Unreachable(f"the webhook cannot be reached ({type(error).__name__})") from None
    except httpx.InvalidURL:
        raise Unreachable("the webhook's URL is none") from None
    if reply.status_code >= 300:
        raise NotTold(f"the webhook answered with HTTP {reply.status_code}")


def _mail(settings: Settings, text: str) -> None:
    """Send one mail. The server's certificate has to be valid for its name (RFC 3207, 4.1; RFC 8314, 3.4)."""
    verified = ssl.create_default_context()
    try:
        message = _message(settings, text)
        server: smtplib.SMTP
        if settings.smtp_tls == "tls":
            server = smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=_SECONDS, context=verified)
        else:
            server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=_SECONDS)
        with server:
            if settings.smtp_tls == "starttls":
                server.starttls(context=verified)
            if settings.smtp_user and settings.smtp_password is not None:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.send_message(message)
    except (smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused) as error:
        raise NotTold(f"the mail server did not take it ({type(error).__name__})") from None
    except OSError as error:
        raise Unreachable(f"the mail server takes nothing ({type(error).__name__})") from None
    except ValueError as error:
        raise NotTold(f"it cannot be mailed ({type(error).__name__})") from None


def _message(settings: Settings, text: str) -> EmailMessage:
    """The mail.

    Raises:
        ValueError: an address of the settings is none.
    """
    message = EmailMessage(_POLICY)
    message["Subject"] = _one_line(text)[:_SUBJECT_CHARACTERS]
    message["From"] = settings.alert_email_from
    message["To"] = ", ".join(settings.alert_email_to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="cofi")
    message.set_content(text)
    return message


def _one_line(text: str) -> str:
    """A text without line breaks and control characters: what follows one can pass for a header, or another entry."""
    kept = (" " if unicodedata.category(char) in _BREAKING else char for char in text)
    return " ".join("".join(kept).split())
