// A shopper says that what came is not genuine: a case that rises to a dispute, up to the refund that was decided.
// Usage: node dispute.mjs partner.json path/to/proto
// @ts-check
import { Refused } from './client.mjs';
import { buy, follow, maySell, partner, tell } from './partner.mjs';

const { fulfillment } = partner.api;
const cases = partner.client(fulfillment.v1.CareService);
const feed = partner.client(fulfillment.v1.FulfillmentFeedService);
const heard = { cursor: '' }; // keep it: what was heard is not told again

/** What the shopper says. Contact data has no place in it: it belongs to the order. @param {string} text */
const says = (text) => ({ author: 'CASE_PARTY_SHOPPER', visibility: 'MESSAGE_VISIBILITY_SHOPPER_AND_ALL', text });

/** What the feed tells of the case, up to what is waited for. It never tells what was said: that is read. @param {string} caseId @param {(found: any) => boolean} until */
async function listen(caseId, until) {
  for await (const page of partner.stream(feed, 'WatchFulfillmentFeed', heard)) {
    for (const { meta, caseEvent } of page.entries) {
      heard.cursor = meta.cursor;
      if (caseEvent?.careCase.caseId !== caseId) continue;
      tell('case', `${caseEvent.change}, next: ${caseEvent.careCase.nextAction?.party ?? 'nobody'}`);
      if (until(caseEvent.careCase)) return caseEvent.careCase;
    }
  }
}

async function main() {
  /** @type {string | undefined} */
  let orderId;
  for (const listing of await maySell()) orderId ??= await buy(listing);
  if (!orderId) throw new Error('nothing is left of anything');
  await follow((/** @type {any} */ { orderChanged }) => orderChanged?.order.orderId === orderId && orderChanged.change === 'ORDER_CHANGE_DELIVERED');
  const opened = await partner.call(cases, 'OpenCase', {
    requestId: `case-${orderId}`,
    shopperRef: 'shopper-1',
    category: 'CASE_CATEGORY_COUNTERFEIT',
    references: { orderId },
    message: says('The label looks wrong. Is it genuine?'),
  });
  const { caseId } = opened.careCase;
  tell('case', `${caseId} opened`);
  for (const level of ['CASE_LEVEL_GRIEVANCE', 'CASE_LEVEL_DISPUTE']) {
    await listen(caseId, (found) => Boolean(found.responseTime));
    const reason = 'the shopper is not content with the answer';
    const { careCase } = await partner.call(cases, 'EscalateCase', { requestId: `${level.slice(11)}-${caseId}`, caseId, level, reason });
    tell('case', `is a ${careCase.level}`);
    await listen(caseId, (found) => found.level === level);
  }
  const decided = await listen(caseId, (found) => found.ruling !== 'CASE_RULING_UNSPECIFIED');
  tell('decided', decided.ruling);
  await listen(caseId, (found) => found.state === 'CASE_STATE_RESOLVED');
  const { careCase } = await partner.call(cases, 'GetCase', { caseId });
  const [{ kind, refundId }] = careCase.outcomes;
  tell('outcome', `${kind} ${refundId}`);
  // The refund itself comes with the order feed, and is paid back as any other.
  await follow((/** @type {any} */ { refund }) => refund?.refundId === refundId && refund.state === 'REFUND_STATE_EXECUTED');
  const closed = await partner.call(cases, 'CloseCase', { requestId: `close-${caseId}`, caseId });
  tell('case', closed.careCase.state);
  try {
    await partner.call(cases, 'PostMessage', { requestId: `late-${caseId}`, caseId, message: says('One more thing') });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    tell('refused', error.reason);
  }
  tell('done', caseId);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.error(`refused  ${error.message}`);
  process.exit(1);
}
