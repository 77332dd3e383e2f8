"""The settings that each package takes from the configuration: one function a package.

So no package knows the configuration's shape. In: a consistent `Config`. Out: frozen settings. Pure; called at the start and at
each reload.
"""

from collections.abc import Callable

from mic_mail.config.model import Config
from mic_mail.imap.session_settings import SessionSettings as ImapSettings
from mic_mail.ldap.context import SessionSettings as LdapSettings
from mic_mail.net.cidr import Networks
from mic_mail.net.connection_limits import AdmissionLimits
from mic_mail.pop3.context import SessionSettings as Pop3Settings
from mic_mail.smtp.session import Limits as SmtpLimits


def admission_limits(config: Config) -> AdmissionLimits:
    """Return the limits of the connection limiter in front of the listeners."""
    limits = config.limits
    return AdmissionLimits(
        limits.connections, limits.connections_per_network, limits.new_per_minute, tuple(limits.exempt_networks)
    )


def smtp_limits(config: Config) -> SmtpLimits:
    smtp = config.smtp
    return SmtpLimits(
        message_octets=config.message_octets,
        attachment_octets=config.limits.attachment.maximum,
        recipients=smtp.recipients,
        errors=smtp.errors,
        junk_commands=smtp.junk_commands,
        messages=smtp.messages_per_connection,
        command_seconds=smtp.command_seconds,
        data_seconds=smtp.data_seconds,
        message_seconds=smtp.message_seconds,
        slowest_octets_per_second=smtp.slowest_rate,
    )


def repairs_lf(config: Config) -> Callable[[str], bool]:
    """Return a test whether a client's address belongs to a device whose bare line ends are repaired."""
    return Networks(config.smtp.repair_line_ends).__contains__


def imap_settings(config: Config) -> ImapSettings:
    imap = config.imap
    offered = {
        "COMPRESS=DEFLATE": imap.compress,
        "IMAP4REV2": imap.rev2,
        "UIDONLY": imap.uidonly,
        "UNAUTHENTICATE": imap.unauthenticate,
    }
    return ImapSettings(
        host=config.server.hostname,
        append_limit=config.message_octets,
        attachment_limit=config.limits.attachment.maximum,
        sign_in_seconds=imap.sign_in_seconds,
        idle_seconds=imap.idle_seconds,
        still_here_seconds=imap.still_here_seconds,
        errors=imap.errors,
        command_octets=imap.command_octets,
        support=config.support,
        passed_on=frozenset(keyword.lower() for keyword in config.unit.passed_on.keywords),
        scans=bool(config.malware.clamd),
        teaches=bool(config.rspamd.controller),
        polls_open=config.unit.openings.counts == "poll",
        hidden=frozenset(name for name, wanted in offered.items() if not wanted),
    )


def pop3_settings(config: Config) -> Pop3Settings:
    pop3 = config.pop3
    return Pop3Settings(
        host=config.server.hostname,
        sign_in_seconds=pop3.sign_in_seconds,
        idle_seconds=pop3.idle_seconds,
        errors=pop3.errors,
    )


def ldap_settings(config: Config) -> LdapSettings:
    ldap = config.ldap
    return LdapSettings(
        sign_in_seconds=ldap.sign_in_seconds,
        idle_seconds=ldap.idle_seconds,
        search_seconds=ldap.search_seconds,
        entries=ldap.entries,
        errors=ldap.errors,
    )


def open_networks(config: Config) -> Networks:
    """Return the networks from which an unauthenticated client may search the address book."""
    return Networks(config.ldap.anonymous_networks)
