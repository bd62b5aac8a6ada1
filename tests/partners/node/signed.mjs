// Requests that are signed (RFC 9421), for partners that have that agreed: a stolen token alone is then worth nothing.
// @ts-check
import { createHash, createPrivateKey, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';

/**
 * The metadata that signs a request: its path, the digest of its message as encoded, and its token.
 * @param {import('node:crypto').KeyObject} key @param {string} keyId @param {string} path @param {Buffer} message
 * @param {string} authorization @param {number} created @param {string} nonce
 * @returns {Record<string, string>}
 */
export function signRequest(key, keyId, path, message, authorization, created, nonce) {
  const digest = `sha-256=:${createHash('sha256').update(message).digest('base64')}:`;
  const covered = `("@path" "content-digest" "authorization");created=${created};nonce="${nonce}";keyid="${keyId}"`;
  const base = `"@path": ${path}\n"content-digest": ${digest}\n"authorization": ${authorization}\n"@signature-params": ${covered}`;
  return {
    authorization,
    'content-digest': digest,
    'signature-input': `sig=${covered}`,
    signature: `sig=:${sign(null, Buffer.from(base), key).toString('base64')}:`,
  };
}

/**
 * One try of a call. Every try is signed anew: a nonce counts once.
 * @param {any} partner @param {any} client @param {string} method @param {object} request
 * @returns {Promise<any>}
 */
export function callSigned(partner, client, method, request) {
  const { path, requestSerialize, responseDeserialize } = Object.getPrototypeOf(client)[method];
  const message = requestSerialize(request);
  const key = createPrivateKey(readFileSync(partner.path(partner.config.payment_key_file)));
  const [authorization] = partner.auth().get('authorization');
  const created = Math.floor(Date.now() / 1000);
  const signed = signRequest(key, partner.config.payment_key_id, path, message, authorization, created, randomBytes(16).toString('hex'));
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(signed)) metadata.set(name, value);
  return new Promise((resolve, reject) => {
    // The bytes that were digested are the bytes that are sent.
    client.makeUnaryRequest(path, (/** @type {Buffer} */ bytes) => bytes, responseDeserialize, message, metadata,
      { deadline: Date.now() + 10_000 }, (/** @type {any} */ error, /** @type {any} */ answer) => (error ? reject(error) : resolve(answer)));
  });
}
