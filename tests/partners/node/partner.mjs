// A partner platform: sells in a live room what a retailer offers it, from the list to the refund.
// Usage: node partner.mjs partner.json path/to/proto
// @ts-check
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { payBack, sendBack } from './aftersale.mjs';
import { Partner, Refused } from './client.mjs';

export const partner = new Partner(process.argv[2], process.argv[3]);
const { catalog, order, room } = partner.api;
const listings = partner.client(catalog.v1.ListingService);
const audience = partner.client(room.v1.AudienceService);
const orders = partner.client(order.v1.OrderService);
const feed = partner.client(order.v1.OrderFeedService);
const { room_id: roomId, outlet_id: outletId } = partner.config;

export const tell = (/** @type {string} */ what, /** @type {string} */ text) => console.log(`${what.padEnd(8)} ${text}`);
// The euro has two decimals; ISO 4217 says how many other currencies have.
const amount = (/** @type {any} */ money) => `${(Number(money.minorUnits) / 100).toFixed(2)} ${money.currencyCode}`;

/** What both sides agreed on and is on sale, page by page. */
export async function maySell() {
  const found = [];
  const request = { state: 'LISTING_STATE_LIVE', pageToken: '' };
  do {
    const page = await partner.call(listings, 'ListListings', request);
    found.push(...page.listings);
    request.pageToken = page.nextPageToken;
  } while (request.pageToken);
  return found;
}

/** What the room shows: first the room as it is, then what happens. */
async function watchRoom() {
  const request = { roomId, outletId, cursor: '' };
  for await (const frame of partner.stream(audience, 'WatchRoom', request)) {
    request.cursor = frame.cursor;
    if (frame.snapshot) tell('room', `${frame.resumeOutcome} ${frame.snapshot.room.title}`);
    for (const { itemChanged } of frame.events) {
      if (itemChanged?.explaining) tell('room', `explaining ${itemChanged.title}`);
    }
  }
}

/** Quote, place, charge, confirm. Gives the order, or nothing where nothing is left. @param {any} listing */
export async function buy(listing) {
  const shopperRef = 'shopper-1';
  const destination = { regionCode: 'FR' };
  const quantity = Math.max(Number(listing.variant.quantityStep), 1);
  const lines = [{ listingId: listing.listingId, quantity, touchpoints: [{ outletId, roomId, surface: 'live_card' }] }];
  const quote = await partner.call(orders, 'QuoteOrder', { lines, destination, shopperRef });
  tell('quoted', `${quantity} ${listing.title} for ${amount(quote.amount.payable)}`);
  if (!quote.lines[0].available) return undefined;
  const partnerOrderId = `app-${randomUUID()}`; // keep it before the call: the same id again gives the same order, never a second
  const { quoteToken } = quote;
  const placed = await partner.call(orders, 'PlaceOrder', { partnerOrderId, shopperRef, lines, destination, quoteToken });
  const { orderId } = placed;
  tell('placed', `${orderId}, units are held until ${new Date(Number(placed.holdExpireTime.seconds) * 1_000).toISOString()}`);
  // Here an app charges its shopper. Then it says so, signed.
  const { payable } = placed.amount;
  const paymentReference = `charge-${partnerOrderId}`;
  const statement = await partner.sign('vitrine-payment+jwt', {
    aud: 'vitrine',
    kind: 'CHARGE',
    order_id: orderId,
    payment_reference: paymentReference,
    minor_units: Number(payable.minorUnits),
    currency_code: payable.currencyCode,
    paid_at: Math.floor(Date.now() / 1_000),
  });
  const { outcome } = await partner.call(orders, 'ConfirmPayment', { orderId, paymentReference, statement });
  // Never refused once money was taken: PAID, or REFUND_DUE, and then the refund comes with the feed.
  tell('paid', `${amount(payable)}: ${outcome}`);
  const contact = { token: { token: 'address-1', maskedText: 'S***, Paris', regionCode: 'FR' } };
  await partner.call(orders, 'SetContact', { requestId: `contact-${orderId}`, orderId, contact });
  return orderId;
}

/** Handles every entry once and in order, whatever breaks meanwhile; ends after the one that is waited for. @param {(entry: any) => boolean} until */
export async function follow(until) {
  const saved = partner.path('feed-cursor.json');
  let [cursor, position] = existsSync(saved) ? JSON.parse(readFileSync(saved, 'utf8')) : ['', 0];
  const request = { cursor };
  for await (const page of partner.stream(feed, 'WatchOrderFeed', request)) {
    for (const entry of page.entries) {
      const next = Number(entry.meta.partnerPosition);
      if (next !== position + 1) throw new Error(`the feed went from ${position} to ${next}`);
      await handle(entry);
      [request.cursor, position] = [entry.meta.cursor, next];
      writeFileSync(saved, JSON.stringify([request.cursor, position])); // in a database: together with the effect
      if (until(entry)) return;
    }
  }
}

/** @param {any} entry */
async function handle({ meta, content, orderChanged, payment, refund }) {
  /** @type {Record<string, string | undefined>} */
  const about = { orderChanged: orderChanged?.change, payment: payment?.outcome, refund: refund?.state };
  tell('feed', `${meta.partnerPosition.padStart(4)} ${meta.aggregateId} ${about[content] ?? content}`);
  if (refund?.state === 'REFUND_STATE_AUTHORISED') await payBack(partner, refund);
}

async function main() {
  const offers = await maySell();
  for (const { title, terms } of offers) tell('may sell', `${title}, ${amount(terms.price.amount)} for ${terms.price.perQuantity}`);
  const watching = watchRoom();
  /** @type {string | undefined} */
  let orderId;
  for (const listing of offers) orderId ??= await buy(listing);
  if (!orderId) throw new Error('nothing is left of anything');
  const says = (/** @type {string} */ change) => (/** @type {any} */ entry) =>
    entry.orderChanged?.order.orderId === orderId && entry.orderChanged.change === change;
  await Promise.race([watching, follow(says('ORDER_CHANGE_PAID'))]);
  // As if the program had ended here and begun again: it goes on from the cursor that it saved.
  await follow(says('ORDER_CHANGE_DELIVERED'));
  const asked = await sendBack(partner, orderId);
  tell('return', `${asked.returnId} ${asked.state}`);
  await follow(({ refund }) => refund?.orderId === orderId && refund.state === 'REFUND_STATE_EXECUTED');
  tell('done', orderId);
}

// Other stories begin with what is here.
if (process.argv[1].endsWith('partner.mjs')) {
  try {
    await main();
    process.exit(0); // the room goes on
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    console.error(`refused  ${error.message}`);
    process.exit(1);
  }
}
