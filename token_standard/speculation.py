"""The work that speculative decoding really did, for audits. Delivered tokens are what is billed, as if one by one.

A round verifies its draft's tokens and the position after them at once, so a target model works on *drafts + draft
tokens* positions; engines count both (``vllm:spec_decode_num_drafts_total``, ``…_draft_tokens_total``). What of it was
accepted decides how many tokens came out, one more than accepted in each round. The gain is the provider's.
"""

from dataclasses import dataclass
from fractions import Fraction

from token_standard.architecture import FLOPS_PER_WEIGHT, Architecture
from token_standard.errors import TokenStandardError


class InvalidSpeculation(TokenStandardError):
    code = "invalid_speculation"


@dataclass(frozen=True)
class AuditWork:
    """``verified`` positions of the target model, ``delivered`` tokens of them, and FLOP of weight matrices.

    Attention is left out: it depends on each context, which counters do not say.
    """

    verified: int
    delivered: int
    target_flops: int
    draft_flops: int

    @property
    def flops(self) -> int:
        return self.target_flops + self.draft_flops

    @property
    def positions_per_token(self) -> Fraction:
        """Verified positions for each delivered token: 1 is plain decoding, more is work in vain."""
        return Fraction(self.verified, self.delivered)


def audit_work(
    target: Architecture, *, drafts: int, draft_tokens: int, accepted: int, draft: Architecture | None = None
) -> AuditWork:
    """The work of so many rounds. ``draft`` None: drafts by a table or by the target's own extra head.

    :raises InvalidSpeculation: counts that cannot be, such as more accepted than drafted.
    """
    if drafts < 1 or not 0 <= accepted <= draft_tokens:
        raise InvalidSpeculation("there is at least one draft, and accepted tokens are at most those drafted")
    verified = drafts + draft_tokens
    return AuditWork(
        verified=verified,
        delivered=accepted + drafts,
        target_flops=FLOPS_PER_WEIGHT * verified * (target.active_weights + target.head_weights),
        draft_flops=FLOPS_PER_WEIGHT * draft_tokens * (draft.active_weights + draft.head_weights) if draft else 0,
    )
