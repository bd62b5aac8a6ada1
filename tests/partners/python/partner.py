"""A partner platform: sells in a live room what a retailer offers it, from the list to the refund.

Usage: python partner.py partner.json
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from aftersale import pay_back, send_back
from client import Partner, Refused
from vitrine.catalog.v1.listing_service_pb2 import LISTING_STATE_LIVE, Listing, ListListingsRequest
from vitrine.catalog.v1.listing_service_pb2_grpc import ListingServiceStub
from vitrine.common.v1.types_pb2 import Money, Touchpoint
from vitrine.fulfillment.v1.return_service_pb2 import ReturnState
from vitrine.order.v1 import order_pb2 as pb
from vitrine.order.v1 import order_service_pb2 as rpc
from vitrine.order.v1.order_service_pb2_grpc import OrderFeedServiceStub, OrderServiceStub
from vitrine.room.v1.room_pb2 import ResumeOutcome
from vitrine.room.v1.room_service_pb2 import WatchRoomRequest
from vitrine.room.v1.room_service_pb2_grpc import AudienceServiceStub

partner = Partner(Path(sys.argv[1]))
room_id, outlet_id = partner.config["room_id"], partner.config["outlet_id"]
orders = OrderServiceStub(partner.channel)


def tell(what: str, text: str) -> None:
    print(f"{what:<8} {text}", flush=True)


def amount(money: Money) -> str:
    # The euro has two decimals; ISO 4217 says how many other currencies have.
    return f"{money.minor_units / 100:.2f} {money.currency_code}"


def may_sell() -> list[Listing]:
    """What both sides agreed on and is on sale, page by page."""
    found, request = [], ListListingsRequest(state=LISTING_STATE_LIVE)
    while True:
        page = partner.call(ListingServiceStub(partner.channel).ListListings, request)
        found += page.listings
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


def watch_room() -> None:
    """What the room shows: first the room as it is, then what happens."""
    request = WatchRoomRequest(room_id=room_id, outlet_id=outlet_id)
    for frame in partner.stream(AudienceServiceStub(partner.channel).WatchRoom, request):
        request.cursor = frame.cursor
        if frame.HasField("snapshot"):
            tell("room", f"{ResumeOutcome.Name(frame.resume_outcome)} {frame.snapshot.room.title}")
        for event in frame.events:
            if event.item_changed.explaining:
                tell("room", f"explaining {event.item_changed.title}")


def buy(listing: Listing) -> str | None:
    """Quote, place, charge, confirm. Gives the order, or nothing where nothing is left."""
    shopper, paris = "shopper-1", pb.Destination(region_code="FR")
    seen = Touchpoint(outlet_id=outlet_id, room_id=room_id, surface="live_card")
    quantity = max(listing.variant.quantity_step, 1)
    lines = [pb.LineRequest(listing_id=listing.listing_id, quantity=quantity, touchpoints=[seen])]
    question = rpc.QuoteOrderRequest(lines=lines, destination=paris, shopper_ref=shopper)
    quote = partner.call(orders.QuoteOrder, question)
    tell("quoted", f"{quantity} {listing.title} for {amount(quote.amount.payable)}")
    if not quote.lines[0].available:
        return None
    own_id = f"app-{uuid.uuid4()}"  # keep it before the call: the same id again gives the same order, never a second
    request = rpc.PlaceOrderRequest(partner_order_id=own_id, shopper_ref=shopper, lines=lines, destination=paris)
    request.quote_token = quote.quote_token
    placed = partner.call(orders.PlaceOrder, request)
    tell("placed", f"{placed.order_id}, units are held until {placed.hold_expire_time.ToDatetime():%H:%M:%S} UTC")
    # Here an app charges its shopper. Then it says so, signed.
    money, reference = placed.amount.payable, f"charge-{own_id}"
    statement = partner.sign(
        "vitrine-payment+jwt", aud="vitrine", kind="CHARGE", order_id=placed.order_id, payment_reference=reference,
        minor_units=money.minor_units, currency_code=money.currency_code, paid_at=int(time.time()),
    )  # fmt: skip
    payment = rpc.ConfirmPaymentRequest(order_id=placed.order_id, payment_reference=reference, statement=statement)
    outcome = partner.call(orders.ConfirmPayment, payment).outcome
    # Never refused once money was taken: PAID, or REFUND_DUE, and then the refund comes with the feed.
    tell("paid", f"{amount(money)}: {pb.PaymentOutcome.Name(outcome)}")
    contact = pb.Contact(token=pb.TokenContact(token="address-1", masked_text="S***, Paris", region_code="FR"))
    reach = rpc.SetContactRequest(request_id=f"contact-{placed.order_id}", order_id=placed.order_id, contact=contact)
    partner.call(orders.SetContact, reach)
    return placed.order_id


def follow(until: Callable[[rpc.OrderFeedEntry], bool]) -> None:
    """Handles every entry once and in order, whatever breaks meanwhile; ends after the one that is waited for."""
    saved = partner.folder / "feed-cursor.json"
    cursor, position = json.loads(saved.read_text()) if saved.exists() else ("", 0)
    request = rpc.WatchOrderFeedRequest(cursor=cursor)
    for page in partner.stream(OrderFeedServiceStub(partner.channel).WatchOrderFeed, request):
        for entry in page.entries:
            if entry.meta.partner_position != position + 1:
                sys.exit(f"the feed went from {position} to {entry.meta.partner_position}")
            handle(entry)
            request.cursor, position = entry.meta.cursor, entry.meta.partner_position
            saved.write_text(json.dumps([request.cursor, position]))  # in a database: together with the effect
            if until(entry):
                return


def handle(entry: rpc.OrderFeedEntry) -> None:
    about = {
        "order_changed": rpc.OrderChange.Name(entry.order_changed.change),
        "payment": pb.PaymentOutcome.Name(entry.payment.outcome),
        "refund": pb.RefundState.Name(entry.refund.state),
    }.get(content := entry.WhichOneof("content") or "", content)
    tell("feed", f"{entry.meta.partner_position:>4} {entry.meta.aggregate_id} {about}")
    if entry.refund.state == pb.REFUND_STATE_AUTHORISED:
        pay_back(partner, entry.refund)


def main() -> None:
    listings = may_sell()
    for listing in listings:
        price = listing.terms.price
        tell("may sell", f"{listing.title}, {amount(price.amount)} for {price.per_quantity}")
    threading.Thread(target=watch_room, daemon=True).start()
    order_id = next(filter(None, map(buy, listings)), None) or sys.exit("nothing is left of anything")

    def says(change: int) -> Callable[[rpc.OrderFeedEntry], bool]:
        return lambda e: e.order_changed.order.order_id == order_id and e.order_changed.change == change

    follow(until=says(rpc.ORDER_CHANGE_PAID))
    # As if the program had ended here and begun again: it goes on from the cursor that it saved.
    follow(until=says(rpc.ORDER_CHANGE_DELIVERED))
    asked = send_back(partner, order_id)
    tell("return", f"{asked.return_id} {ReturnState.Name(asked.state)}")
    follow(until=lambda e: e.refund.order_id == order_id and e.refund.state == pb.REFUND_STATE_EXECUTED)
    tell("done", order_id)


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"refused  {refused}")
