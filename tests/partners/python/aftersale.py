"""What may come after a sale: goods that go back, and money that is paid back."""

from __future__ import annotations

from client import Partner
from vitrine.fulfillment.v1 import return_service_pb2 as care
from vitrine.fulfillment.v1.return_service_pb2_grpc import ReturnServiceStub
from vitrine.order.v1.order_pb2 import Refund
from vitrine.order.v1.order_service_pb2 import GetOrderRequest, ReportRefundRequest
from vitrine.order.v1.order_service_pb2_grpc import OrderServiceStub


def send_back(partner: Partner, order_id: str) -> care.GoodsReturn:
    """Asks to send back what was delivered of the order's first line."""
    orders, returns = OrderServiceStub(partner.channel), ReturnServiceStub(partner.channel)
    line = partner.call(orders.GetOrder, GetOrderRequest(order_id=order_id)).order.lines[0]
    draft = care.ReturnLineDraft(order_line_id=line.order_line_id, quantity=line.quantities.delivered)
    draft.reason = care.RETURN_REASON_CHANGED_MIND
    request = care.RequestReturnRequest(request_id=f"return-{order_id}", order_id=order_id, lines=[draft])
    request.kind = care.RETURN_KIND_RETURN_AND_REFUND
    return partner.call(returns.RequestReturn, request).goods_return


def pay_back(partner: Partner, refund: Refund) -> None:
    """Pays back what the retailer authorised, and says so, signed: once for each attempt, however often it is told."""
    attempt = f"{refund.refund_id}-{refund.attempt}"
    # Here an app pays its shopper back, and writes down when; the same statement again is no second refund.
    paid_back_at = refund.create_time.seconds
    statement = partner.sign(
        "vitrine-refund+jwt",
        aud="vitrine",
        kind="REFUND_EXECUTED",
        order_id=refund.order_id,
        refund_id=refund.refund_id,
        refund_reference=f"back-{attempt}",
        shopper_minor_units=refund.shopper_amount.minor_units,
        partner_minor_units=refund.partner_amount.minor_units,
        currency_code=refund.shopper_amount.currency_code,
        reported_at=paid_back_at,
    )
    report = ReportRefundRequest(request_id=f"back-{attempt}", refund_id=refund.refund_id, statement=statement)
    partner.call(OrderServiceStub(partner.channel).ReportRefund, report)
