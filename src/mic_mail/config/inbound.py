"""Settings of the checks of mail from other servers (Reg. 10.2)."""

from typing import Annotated, Literal

from pydantic import Field

from mic_mail.config.schema import Distinct, DomainName, NetworkName, Section, SettingDoc
from mic_mail.config.units import MINUTE, Seconds

MOST_LISTS = 8


class Inbound(Section):
    """The authentication of mail from other servers."""

    authenticate: Annotated[
        bool,
        SettingDoc("Ask by SPF, DKIM, DMARC and ARC who it is from; false: nothing is asked, and all of it passes.", "10.2"),
    ] = True
    trusted_networks: Annotated[
        tuple[NetworkName, ...],
        Distinct,
        SettingDoc(
            "Networks of our own devices and relays: what they bring to the door of other servers is not judged. What passes "
            "the world's mail on to this machine (a TCP proxy) must not be among them.",
            "10.2",
        ),
    ] = ("127.0.0.0/8", "::1/128")
    own_domain: Annotated[
        Literal["refuse", "junk", "none"],
        SettingDoc(
            "Mail from outside in the name of a domain of ours (From, or the envelope) for which nothing vouches: refused, "
            "into Junk, or as any other.",
            "10.2",
        ),
    ] = "refuse"
    dmarc: Annotated[
        Literal["obey", "junk", "none"],
        SettingDoc(
            "Mail that its author's domain disowns by DMARC: as that asks (refused, or into Junk), into Junk at most, or as "
            "any other.",
            "10.2",
        ),
    ] = "obey"
    no_author: Annotated[
        Literal["refuse", "junk", "none"],
        SettingDoc("Mail whose author cannot be read in one way: no From, several, several domains, a broken header.", "10.2"),
    ] = "junk"
    spf_fail: Annotated[
        Literal["junk", "none"],
        SettingDoc("Mail from a machine that the domain of the envelope disowns (`-all`), where DMARC says nothing.", "10.2"),
    ] = "junk"
    unsettled: Annotated[
        Literal["pass", "later"],
        SettingDoc(
            "Mail of which the DNS, not answering, has not told whether it is to be refused: it passes, marked, or comes again "
            "later.",
            "10.2",
        ),
    ] = "pass"
    trusted_sealers: Annotated[
        tuple[DomainName, ...],
        Distinct,
        SettingDoc(
            "Domains of mailing lists and forwarders whose seal (ARC) is believed: what they pass on is theirs.", "10.2"
        ),
    ] = ()
    dnsbl_refuse: Annotated[
        tuple[DomainName, ...],
        Field(max_length=MOST_LISTS),
        Distinct,
        SettingDoc(
            "Lists in the DNS of machines that send spam (`zen.spamhaus.org`): mail from those is refused, but to postmaster "
            "and abuse.",
            "10.2",
        ),
    ] = ()
    dnsbl_junk: Annotated[
        tuple[DomainName, ...],
        Field(max_length=MOST_LISTS),
        Distinct,
        SettingDoc("Likewise: mail from those goes to Junk.", "10.2"),
    ] = ()
    seconds: Annotated[
        Seconds,
        Field(ge=2, le=MINUTE),
        SettingDoc("What was not answered so long after the end of a message counts as not answered.", "10.2"),
    ] = 20.0
