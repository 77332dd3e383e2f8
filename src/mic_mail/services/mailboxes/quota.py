"""The quota that a mailbox may be given, at its issue and later (Reg. 8.3).

In: octets, the quota before (None: a new mailbox), the actor. Out: nothing, or a refusal with its clause. Pure.
"""

from mic_mail.config.limits import QUOTA_CEILING, QUOTA_FLOOR
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.policy.authorization.grounds import ADD_REASON, ActContext


class QuotaRefused(Refused):
    """The quota is too small, or smaller than before without a reason."""


def check_quota(octets: int, previous: int | None, origin: ActContext) -> None:
    """Require at least 1 GB, and a reason for a smaller quota than before (Reg. 8.3.a, 8.3.b)."""
    if octets > QUOTA_CEILING:
        raise BadInput(Text("Dung lượng quá lớn, tối đa 1024 TiB.", "The quota is too large; at most 1024 TiB."))
    if octets < QUOTA_FLOOR:
        raise QuotaRefused(
            Text("Dung lượng tối thiểu 01 GB/hộp thư.", "The quota of a mailbox must be at least 1 GB."), clause="8.3.b"
        )
    if previous is not None and octets < previous and not origin.reason:
        raise QuotaRefused(
            Text("Giảm dung lượng phải nêu lý do.", "A smaller quota needs a reason."), clause="8.3.a", remedy=ADD_REASON
        )
