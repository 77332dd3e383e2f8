"""Which commands serve which clause: what an administrator types to keep it, or to show that it is kept.

Words after `mic-mail`; every one of them exists, and every clause that this server obeys has one or works by itself.
"""

from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "2.3": ("mailbox issue",),
    "2.4": ("mailbox issue",),
    "2.5": ("mailbox issue",),
    "2.6": ("person add", "person list", "unit list"),
    "3.1": ("status", "config check"),
    "3.2": ("config show",),
    "4.3": ("content ask", "content approve", "content refuse", "content export", "content list", "mailbox rights"),
    "5.1": ("unit add", "unit show"),
    "5.2": ("mailbox issue",),
    "5.3": ("mailbox issue",),
    "5.4.a": ("mailbox issue",),
    "5.4.b": ("mailbox issue",),
    "6.1": ("officer add", "officer end", "officer list", "mailbox issue", "mailbox reclaim"),
    "6.2": ("mailbox reclaim",),
    "6.3": ("person show", "mailbox issue"),
    "6.4.a": ("mailbox issue",),
    "6.4.b": ("person move",),
    "6.4.c": ("mailbox leave", "mailbox return", "mailbox explain"),
    "6.5": ("directory check",),
    "7.1": ("mailbox explain",),
    "7.2.a": ("mailbox absence", "mailbox explain"),
    "7.2.b": ("mailbox suspend",),
    "7.2.c": ("mailbox suspend",),
    "7.3.a": ("mailbox restore",),
    "7.3.b": ("mailbox restore", "calendar count"),
    "7.3.c": ("password set",),
    "8.3.a": ("mailbox quota",),
    "8.3.b": ("mailbox quota",),
    "8.3.c": ("mailbox show",),
    "9.2": ("mailbox hold", "mailbox release-hold", "mailbox show"),
    "10.1": ("status", "backup", "restore"),
    "10.2": ("mailbox lock-sending", "mailbox unlock-sending"),
    "10.3": ("calendar set", "calendar show"),
    "12.3": ("mailbox grant", "mailbox revoke", "mailbox rights", "mailbox seen"),
    "14.3": ("mailbox list", "unit show"),
    "15.2": ("password reset", "password set"),
    "16.5": ("content export",),
}
