"""A name server within the process: a resolver of ours asks it as it would ask one by UDP. Nothing goes over a wire."""

import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

from mic_mail.net.dns import Resolver

TEXT = dns.rdatatype.TXT


class Zone(dns.nameserver.Nameserver):
    """Names in lower case without their last dot; `wire` answers everything with the same octets behind the question."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[tuple[str, dns.rdatatype.RdataType], list[dns.rdata.Rdata]] = {}
        self.asked = 0
        self.wire: bytes | None = None

    def __str__(self) -> str:
        return "here"

    def kind(self) -> str:
        return "here"

    def is_always_max_size(self) -> bool:
        return True

    def answer_nameserver(self) -> str:
        return "127.0.0.1"

    def answer_port(self) -> int:
        return 53

    async def async_query(self, request: dns.message.QueryMessage, *_: object, **__: object) -> dns.message.Message:
        self.asked += 1
        if self.wire is not None:
            head = request.to_wire()[:2] + self.wire[:10].ljust(10, b"\0")
            answer = dns.message.from_wire(head + self.wire[10:])
            if not request.is_response(answer):  # as dnspython asks of what comes by UDP and TCP
                raise dns.query.BadResponse
            return answer
        response = dns.message.make_response(request)
        response.flags |= dns.flags.RA | dns.flags.AD
        question = request.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if found := self.records.get((name, question.rdtype)):
            response.answer.append(dns.rrset.from_rdata_list(question.name, 300, found))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def text(self, name: str, octets: bytes) -> None:
        """One more TXT record."""
        strings = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
        self.records.setdefault((name, TEXT), []).append(TXT(dns.rdataclass.IN, TEXT, strings))

    def record(self, name: str, kind: str, text: str) -> None:
        """One more of another type, as a zone file has it."""
        made = dns.rdata.from_text("IN", kind, text)
        self.records.setdefault((name, made.rdtype), []).append(made)


def resolver(zone: Zone) -> Resolver:
    """One that asks `zone`, and keeps nothing."""
    made = Resolver(["127.0.0.1"], seconds=2.0)
    made._resolver.nameservers = [zone]
    made._resolver.cache = None
    made.is_trusted = True
    return made
