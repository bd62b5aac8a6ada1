"""What grpcio makes of the suite's errors, deadlines and silence. Not for partners: the tests run it.

Usage: python checks.py partner.json
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import client
from client import Code, Partner, Refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from signed import call_signed, sign_request
from vitrine.catalog.v1.listing_service_pb2 import ListListingsRequest
from vitrine.catalog.v1.listing_service_pb2_grpc import ListingServiceStub
from vitrine.order.v1 import order_pb2 as pb
from vitrine.order.v1 import order_service_pb2 as rpc
from vitrine.order.v1.order_service_pb2_grpc import OrderFeedServiceStub, OrderServiceStub

client.KEEPALIVE += [("grpc.http2.max_pings_without_data", 0)]
client.KEEPALIVE[0] = ("grpc.keepalive_time_ms", 1_000)  # grpcio asks no more often
partner = Partner(Path(sys.argv[1]))
orders = OrderServiceStub(partner.channel)


def refused(call: Callable[[], Any], code: grpc.StatusCode, reason: str, **metadata: str) -> Refused:
    try:
        call()
    except Refused as error:
        found = {name: error.metadata.get(name) for name in metadata}
        assert (error.code, error.reason, found) == (code, reason, metadata), error
        print(f"ok       {error}")
        return error
    raise AssertionError(f"{code} {reason} did not come")


def signed(unknown: rpc.GetOrderRequest) -> None:
    """A signature as the suite's own tests have it, and one on its way."""
    key = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    path, kid = "/vitrine.order.v1.OrderService/GetOrder", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    made = sign_request(key, kid, path, b"\n\x07order_1", "Bearer a.b.c", 1790000000, "0123456789abcdef")
    wanted = "C5uZqaSIV0WI4fEI1fa+od90KR/UZzbIEqoJ4wnfeLzTAK/0sauspL6HkM2/40G3AozbKEFLyakoKW2rroqfCw=="
    assert dict(made)["signature"] == f"sig=:{wanted}:", made
    try:
        call_signed(partner, path, unknown, rpc.GetOrderResponse)
    except grpc.RpcError as error:
        assert Refused(error).reason == "NOT_FOUND", error
        print("ok       a signed request is answered")


def errors() -> None:
    unknown = rpc.GetOrderRequest(order_id="order_01jznq5w2qe4ta7xz0000000zz")
    refused(lambda: partner.call(orders.GetOrder, unknown), Code.NOT_FOUND, "NOT_FOUND")
    nothing = partner.channel.unary_unary("/vitrine.order.v1.OrderService/Nothing", bytes, bytes)
    refused(lambda: partner.call(nothing, b""), Code.UNIMPLEMENTED, "NOT_OFFERED")
    listings = partner.call(ListingServiceStub(partner.channel).ListListings, ListListingsRequest()).listings
    gone = next(listing for listing in listings if "sold out" in listing.title)
    line = pb.LineRequest(listing_id=gone.listing_id, quantity=1)
    order = rpc.PlaceOrderRequest(partner_order_id="gone", shopper_ref="s", lines=[line])
    order.destination.region_code = "FR"
    order.expected_payable.CopyFrom(gone.terms.price.amount)
    named = {"listing_id": gone.listing_id}
    refused(lambda: partner.call(orders.PlaceOrder, order), Code.FAILED_PRECONDITION, "SOLD_OUT", **named)
    signed(unknown)
    order.person_key = "everywhere"  # the contract has the field, this server does not offer it
    refused(lambda: partner.call(orders.PlaceOrder, order), Code.UNIMPLEMENTED, "NOT_OFFERED")
    partner.auth, own = lambda: [("authorization", "Bearer nobody's")], partner.auth  # type: ignore[method-assign]
    refused(lambda: partner.call(orders.GetOrder, unknown), Code.UNAUTHENTICATED, "UNAUTHENTICATED")
    partner.auth = own  # type: ignore[method-assign]


def fields() -> None:
    try:
        orders.PlaceOrder(rpc.PlaceOrderRequest(partner_order_id="checks"), metadata=partner.auth(), timeout=5)
    except grpc.RpcError as error:
        violations = [v.field for d in rpc_status.from_call(error).details for v in bad_request(d).field_violations]
        assert error.code() == Code.INVALID_ARGUMENT and "shopper_ref" in violations, violations
        print(f"ok       the fields at fault: {violations}")


def bad_request(detail: Any) -> error_details_pb2.BadRequest:
    found = error_details_pb2.BadRequest()
    detail.Unpack(found)
    return found


def silence() -> None:
    """A stream lives through pings and ends at its deadline, neither before nor long after."""
    feed = OrderFeedServiceStub(partner.channel)
    begun = time.monotonic()
    try:
        for _ in feed.WatchOrderFeed(rpc.WatchOrderFeedRequest(), metadata=partner.auth(), timeout=3):
            pass
    except grpc.RpcError as error:
        took = time.monotonic() - begun
        assert error.code() == Code.DEADLINE_EXCEEDED and 2.9 < took < 10, f"{error} after {took} s"
        print(f"ok       a stream pinged every second ended at its deadline, after {took:.2f} s")


errors()
fields()
silence()
