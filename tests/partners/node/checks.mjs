// What grpc-js makes of the suite's errors, deadlines and silence. Not for partners: the tests run it.
// Usage: node checks.mjs partner.json path/to/proto
// @ts-check
import assert from 'node:assert/strict';
import grpc from '@grpc/grpc-js';
import { createPrivateKey } from 'node:crypto';
import { Partner, Refused } from './client.mjs';
import { callSigned, signRequest } from './signed.mjs';

const { status: Code } = grpc;
const partner = new Partner(process.argv[2], process.argv[3]);
const { catalog, order } = partner.api;
const orders = partner.client(order.v1.OrderService);
const ok = (/** @type {string} */ text) => console.log(`ok       ${text}`);

/** @param {Promise<any>} call @param {number} code @param {string} reason */
async function refused(call, code, reason) {
  const error = await call.then(() => assert.fail(`${reason} did not come`), (/** @type {Refused} */ e) => e);
  assert.deepEqual([error.code, error.reason], [code, reason], error.message);
  ok(error.message);
}

const unknown = { orderId: 'order_01jznq5w2qe4ta7xz0000000zz' };
await refused(partner.call(orders, 'GetOrder', unknown), Code.NOT_FOUND, 'NOT_FOUND');

// A signature as the suite's own tests have it, and one on its way.
const known = createPrivateKey('-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n');
const path = '/vitrine.order.v1.OrderService/GetOrder';
const made = signRequest(known, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k', path, Buffer.from('\n\x07order_1'), 'Bearer a.b.c', 1790000000, '0123456789abcdef');
assert.equal(made.signature, 'sig=:C5uZqaSIV0WI4fEI1fa+od90KR/UZzbIEqoJ4wnfeLzTAK/0sauspL6HkM2/40G3AozbKEFLyakoKW2rroqfCw==:');
await refused(callSigned(partner, orders, 'GetOrder', unknown).catch((/** @type {any} */ error) => { throw new Refused(error); }), Code.NOT_FOUND, 'NOT_FOUND');

const { listings } = await partner.call(partner.client(catalog.v1.ListingService), 'ListListings', {});
const gone = listings.find((/** @type {any} */ listing) => listing.title.includes('sold out'));
const request = {
  partnerOrderId: 'gone-too',
  shopperRef: 's',
  lines: [{ listingId: gone.listingId, quantity: 1 }],
  destination: { regionCode: 'FR' },
  expectedPayable: gone.terms.price.amount,
};
await refused(partner.call(orders, 'PlaceOrder', request), Code.FAILED_PRECONDITION, 'SOLD_OUT');
const notOffered = { ...request, personKey: 'everywhere' };
await refused(partner.call(orders, 'PlaceOrder', notOffered), Code.UNIMPLEMENTED, 'NOT_OFFERED');
await refused(partner.call(orders, 'PlaceOrder', { ...request, lines: [] }), Code.INVALID_ARGUMENT, 'INVALID_FIELD');

const { auth } = partner;
partner.auth = () => {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', "Bearer nobody's");
  return metadata;
};
await refused(partner.call(orders, 'GetOrder', unknown), Code.UNAUTHENTICATED, 'UNAUTHENTICATED');
partner.auth = auth;

// A stream lives through pings and ends at its deadline, neither before nor long after.
const pinging = new order.v1.OrderFeedService(new URL(partner.config.endpoint).host, grpc.credentials.createInsecure(), {
  'grpc.keepalive_time_ms': 100,
  'grpc.keepalive_timeout_ms': 2_000,
});
const begun = Date.now();
try {
  for await (const page of pinging.WatchOrderFeed({}, partner.auth(), { deadline: begun + 3_000 })) assert.ok(page);
  assert.fail('the stream ended without an error');
} catch (error) {
  const took = Date.now() - begun;
  assert.equal(/** @type {any} */ (error).code, Code.DEADLINE_EXCEEDED, String(error));
  assert.ok(took > 2_900 && took < 10_000, `after ${took} ms`);
  ok(`a stream pinged every 100 ms ended at its deadline, after ${took} ms`);
}

// Numbers beyond 2^53 keep every digit.
assert.equal(typeof gone.terms.price.amount.minorUnits, 'string');
ok('64-bit numbers are text');
process.exit(0);
