"""Instants as the ministry's clock shows them."""

from datetime import UTC, datetime

from mic_mail.clock import HO_CHI_MINH


def local(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=HO_CHI_MINH).astimezone(UTC)
