"""Verifiers in the rows of mailboxes and of app passwords."""

from dataclasses import fields
from typing import Any

from mic_mail.directory.model import AppPasswordRow, CredentialRow
from mic_mail.policy.credentials.verifiers import AppCredential, ScramKeys


def credential(row: AppPasswordRow) -> AppCredential | None:
    """Return the verifiers of an app password; None where it was revoked."""
    keys = keys_of(row)
    if row.salt is None or row.digest is None or keys is None:
        return None
    return AppCredential(row.number, row.salt, row.digest, keys)


def set_keys(row: AppPasswordRow | CredentialRow, keys: ScramKeys | None) -> None:
    """Store SCRAM keys, or none, in the columns of a row."""
    for field in fields(ScramKeys):
        setattr(row, f"scram_{field.name}", getattr(keys, field.name, None))


def keys_of(row: Any) -> ScramKeys | None:
    """Return the SCRAM keys of a row that has their columns; None where it has none."""
    if row.scram_salt is None:
        return None
    return ScramKeys(row.scram_salt, row.scram_iterations, row.scram_stored_key, row.scram_server_key)
