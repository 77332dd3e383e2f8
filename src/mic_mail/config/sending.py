"""Settings of sending to other servers."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from mic_mail.config.listeners import Port
from mic_mail.config.schema import Section, SettingDoc, SmarthostName
from mic_mail.config.units import DAY, HOUR, MINUTE, Location, Seconds, Unit


class Sending(Section):
    """Mail to other domains."""

    paused: Annotated[
        bool,
        SettingDoc("Take mail for other domains and keep all of it in the queue; what is being sent comes to its end.", "10.3"),
    ] = False
    give_up: Annotated[
        Seconds,
        Field(ge=HOUR, le=30 * DAY),
        SettingDoc("A message that could not be delivered for so long goes back to its sender.", "4.2", reload=False),
    ] = 5 * DAY
    warn_after: Annotated[
        Seconds,
        Field(ge=MINUTE, le=30 * DAY),
        SettingDoc("The sender is told once that a message has not been delivered for so long.", "4.2", reload=False),
    ] = 4 * HOUR
    connections: Annotated[
        int, Field(ge=1, le=2_000), Unit("connections"), SettingDoc("To all other servers at once.", reload=False)
    ] = 200
    connections_per_domain: Annotated[
        int, Field(ge=1, le=200), Unit("connections"), SettingDoc("To the servers of one domain at once.", reload=False)
    ] = 20
    port: Annotated[Port, SettingDoc("Where other servers take mail; another one only for tests.", reload=False)] = 25
    smarthost: Annotated[
        SmarthostName,
        SettingDoc(
            "One server for all of it (`relay.example:587`; 465: TLS from the first octet); empty: each domain's own servers.",
            "4.2",
            reload=False,
        ),
    ] = ""
    smarthost_tls: Annotated[
        Literal["required", "offered"],
        SettingDoc(
            "`required`: TLS with a valid certificate for that name, or the mail waits; `offered`: TLS with whoever answers.",
            "10.2",
            reload=False,
        ),
    ] = "required"
    smarthost_ca: Annotated[
        Location | None,
        SettingDoc("Authorities whose certificates are believed there (PEM), in place of the machine's.", "10.2", reload=False),
    ] = None
    smarthost_login: Annotated[
        str,
        StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$"),
        SettingDoc("The name by which this server signs in there; empty: it does not.", "10.2", reload=False),
    ] = ""
    smarthost_password: Annotated[
        Location | None,
        SettingDoc(
            "The file with the password for it, on one line, readable by the server's account only; read at each sign-in.",
            "10.2",
            reload=False,
        ),
    ] = None

    @field_validator("smarthost_login")
    @classmethod
    def _never_in_the_open(cls, login: str, info: ValidationInfo) -> str:
        if login and info.data.get("smarthost_tls", "required") != "required":
            raise PydanticCustomError("smarthost_open", "a sign-in without TLS")
        if login and not info.data.get("smarthost", "-"):
            raise PydanticCustomError("smarthost_missing", "without a smarthost")
        return login

    @field_validator("smarthost_password")
    @classmethod
    def _as_somebody(cls, password: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("smarthost_login", "-") and password is None and "smarthost_login" in info.data:
            raise PydanticCustomError("smarthost_password", "a login without a password")
        if password is not None and not info.data.get("smarthost_login", "-"):
            raise PydanticCustomError("smarthost_login", "a password without a login")
        return password
