"""A shopper says that what came is not genuine: a case that rises to a dispute, up to the refund that was decided.

Usage: python dispute.py partner.json
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from client import Refused
from partner import buy, follow, may_sell, partner, tell
from vitrine.fulfillment.v1 import care_service_pb2 as care
from vitrine.fulfillment.v1.care_service_pb2_grpc import CareServiceStub
from vitrine.fulfillment.v1.fulfillment_service_pb2 import WatchFulfillmentFeedRequest
from vitrine.fulfillment.v1.fulfillment_service_pb2_grpc import FulfillmentFeedServiceStub
from vitrine.order.v1.order_pb2 import REFUND_STATE_EXECUTED
from vitrine.order.v1.order_service_pb2 import ORDER_CHANGE_DELIVERED

cases = CareServiceStub(partner.channel)
heard = WatchFulfillmentFeedRequest()  # keep its cursor: what was heard is not told again


def says(text: str) -> care.CaseMessageDraft:
    """What the shopper says. Contact data has no place in it: it belongs to the order."""
    draft = care.CaseMessageDraft(author=care.CASE_PARTY_SHOPPER, text=text)
    draft.visibility = care.MESSAGE_VISIBILITY_SHOPPER_AND_ALL
    return draft


def listen(case_id: str, until: Callable[[care.CareCase], bool]) -> care.CareCase:
    """What the feed tells of the case, up to what is waited for. It never tells what was said: that is read."""
    feed = FulfillmentFeedServiceStub(partner.channel)
    for page in partner.stream(feed.WatchFulfillmentFeed, heard):
        for entry in page.entries:
            heard.cursor, event = entry.meta.cursor, entry.case_event
            if event.care_case.case_id != case_id:
                continue
            next_action = event.care_case.next_action
            whose = care.CaseParty.Name(next_action.party) if event.care_case.HasField("next_action") else "nobody"
            tell("case", f"{care.CaseChange.Name(event.change)}, next: {whose}")
            if until(event.care_case):
                return event.care_case
    raise AssertionError("the feed never ends")


def main() -> None:
    order_id = next(filter(None, map(buy, may_sell())), None) or sys.exit("nothing is left of anything")

    def delivered(entry) -> bool:
        changed = entry.order_changed
        return changed.order.order_id == order_id and changed.change == ORDER_CHANGE_DELIVERED

    follow(until=delivered)
    request = care.OpenCaseRequest(request_id=f"case-{order_id}", shopper_ref="shopper-1")
    request.category = care.CASE_CATEGORY_COUNTERFEIT
    request.references.order_id = order_id
    request.message.CopyFrom(says("The label looks wrong. Is it genuine?"))
    case_id = partner.call(cases.OpenCase, request).care_case.case_id
    tell("case", f"{case_id} opened")
    for level in (care.CASE_LEVEL_GRIEVANCE, care.CASE_LEVEL_DISPUTE):
        listen(case_id, until=lambda case: case.HasField("response_time"))
        raise_it = care.EscalateCaseRequest(request_id=f"{level}-{case_id}", case_id=case_id, level=level)
        raise_it.reason = "the shopper is not content with the answer"
        raised = partner.call(cases.EscalateCase, raise_it).care_case
        tell("case", f"is a {care.CaseLevel.Name(raised.level)}")
        listen(case_id, until=lambda case, level=level: case.level == level)
    decided = listen(case_id, until=lambda case: case.ruling != care.CASE_RULING_UNSPECIFIED)
    tell("decided", care.CaseRuling.Name(decided.ruling))
    listen(case_id, until=lambda case: case.state == care.CASE_STATE_RESOLVED)
    outcome = partner.call(cases.GetCase, care.GetCaseRequest(case_id=case_id)).care_case.outcomes[0]
    tell("outcome", f"{care.CaseOutcomeKind.Name(outcome.kind)} {outcome.refund_id}")
    # The refund itself comes with the order feed, and is paid back as any other.
    follow(until=lambda e: e.refund.refund_id == outcome.refund_id and e.refund.state == REFUND_STATE_EXECUTED)
    close = care.CloseCaseRequest(request_id=f"close-{case_id}", case_id=case_id)
    tell("case", care.CaseState.Name(partner.call(cases.CloseCase, close).care_case.state))
    try:
        late = care.PostMessageRequest(request_id=f"late-{case_id}", case_id=case_id, message=says("One more thing"))
        partner.call(cases.PostMessage, late)
    except Refused as refused:
        tell("refused", refused.reason)
    tell("done", case_id)


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"refused  {refused}")
