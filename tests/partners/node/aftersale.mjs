// What may come after a sale: goods that go back, and money that is paid back.
// @ts-check

/** Asks to send back what was delivered of the order's first line. @param {import('./client.mjs').Partner} partner @param {string} orderId */
export async function sendBack(partner, orderId) {
  const orders = partner.client(partner.api.order.v1.OrderService);
  const returns = partner.client(partner.api.fulfillment.v1.ReturnService);
  const { order } = await partner.call(orders, 'GetOrder', { orderId });
  const [{ orderLineId, quantities }] = order.lines;
  const { goodsReturn } = await partner.call(returns, 'RequestReturn', {
    requestId: `return-${orderId}`,
    orderId,
    kind: 'RETURN_KIND_RETURN_AND_REFUND',
    lines: [{ orderLineId, quantity: quantities.delivered, reason: 'RETURN_REASON_CHANGED_MIND' }],
  });
  return goodsReturn;
}

/** Pays back what the retailer authorised, and says so, signed: once for each attempt, however often it is told. @param {import('./client.mjs').Partner} partner @param {any} refund */
export async function payBack(partner, refund) {
  const attempt = `${refund.refundId}-${refund.attempt}`;
  // Here an app pays its shopper back, and writes down when; the same statement again is no second refund.
  const paidBackAt = Number(refund.createTime.seconds);
  const statement = await partner.sign('vitrine-refund+jwt', {
    aud: 'vitrine',
    kind: 'REFUND_EXECUTED',
    order_id: refund.orderId,
    refund_id: refund.refundId,
    refund_reference: `back-${attempt}`,
    shopper_minor_units: Number(refund.shopperAmount.minorUnits),
    partner_minor_units: Number(refund.partnerAmount.minorUnits),
    currency_code: refund.shopperAmount.currencyCode,
    reported_at: paidBackAt,
  });
  const orders = partner.client(partner.api.order.v1.OrderService);
  await partner.call(orders, 'ReportRefund', { requestId: `back-${attempt}`, refundId: refund.refundId, statement });
}
