// What every partner's program needs: clients, a token, the retry rules, streams that go on, and signatures.
// @ts-check
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { SignJWT, importPKCS8 } from 'jose';
import protobuf from 'protobufjs';

const { status: Code } = grpc;
// The retry rules of the suite's README: its own word decides; without one, nobody knows what was done.
const AGAIN = ['OVERLOADED', 'RATE_LIMITED', 'DRAINING', 'OUTCOME_UNKNOWN', 'DEADLINE', 'INTERNAL'];
const BROKEN = [Code.UNAVAILABLE, Code.UNKNOWN, Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.RESOURCE_EXHAUSTED];
const OPTIONS = { 'grpc.keepalive_time_ms': 20_000, 'grpc.keepalive_timeout_ms': 5_000 };

// What travels beside an error, as google.rpc defines it.
const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }`, { keepCase: true });

/** What the retailer said: the code, the reason from ErrorInfo, a sentence, and what else it named. */
export class Refused extends Error {
  /** @param {grpc.ServiceError} error */
  constructor(error) {
    /** @type {Record<string, any>} */
    const found = {};
    const [encoded] = error.metadata?.get('grpc-status-details-bin') ?? [];
    const details = encoded ? /** @type {any} */ (root.lookupType('Status').decode(/** @type {Buffer} */ (encoded))).details : [];
    for (const { type_url, value } of details) {
      const name = type_url.split('.').at(-1);
      if (['ErrorInfo', 'RetryInfo'].includes(name)) found[name] = root.lookupType(name).decode(value).toJSON();
    }
    const { reason = '', metadata } = found.ErrorInfo ?? {};
    super(`${Code[error.code]} ${reason || '-'}: ${error.details} ${metadata ? JSON.stringify(metadata) : ''}`.trimEnd());
    this.code = error.code;
    this.reason = reason;
    this.retryAfterMs = Number(found.RetryInfo?.retry_delay?.seconds ?? 0) * 1e3 + (found.RetryInfo?.retry_delay?.nanos ?? 0) / 1e6;
    this.again = reason ? AGAIN.includes(reason) : BROKEN.includes(error.code);
  }

  /** @param {number} tries */
  wait(tries) {
    return sleep(Math.max(this.retryAfterMs, (0.5 + Math.random() / 2) * Math.min(2_000, 50 * 2 ** tries)));
  }
}

/** Somebody who calls, as `partner.json` says. */
export class Partner {
  /** @param {string} file @param {string} protos the folder with the contracts */
  constructor(file, protos) {
    this.config = JSON.parse(readFileSync(file, 'utf8'));
    this.folder = dirname(file);
    const names = readdirSync(protos, { encoding: 'utf8', recursive: true }).filter((name) => name.endsWith('.proto'));
    // 64-bit numbers stay text: a double cannot hold them all.
    const contracts = protoLoader.loadSync(names, { includeDirs: [protos], longs: String, enums: String, defaults: true, oneofs: true });
    const { protocol, host } = new URL(this.config.endpoint);
    const credentials = protocol === 'https:' ? grpc.credentials.createSsl() : grpc.credentials.createInsecure();
    this.api = /** @type {any} */ (grpc.loadPackageDefinition(contracts)).vitrine;
    /** @param {any} Service */
    this.client = (Service) => new Service(host, credentials, OPTIONS);
  }

  /** A file beside partner.json. @param {string} name */
  path(name) {
    return join(this.folder, name);
  }

  /** Read anew for every call: a token lives an hour, and a new one is in the file long before. */
  auth() {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${readFileSync(this.path(this.config.token_file), 'utf8').trim()}`);
    return metadata;
  }

  /**
   * A call with a deadline. What may not have been done is asked again: the same request, hence the same key.
   * @param {any} client @param {string} method @param {object} request
   * @returns {Promise<any>}
   */
  async call(client, method, request, triesMax = 20) {
    for (let tries = 0; ; tries += 1) {
      try {
        return await new Promise((resolve, reject) => {
          client[method](request, this.auth(), { deadline: Date.now() + 10_000 },
            (/** @type {any} */ error, /** @type {any} */ answer) => (error ? reject(error) : resolve(answer)));
        });
      } catch (error) {
        const refused = new Refused(/** @type {grpc.ServiceError} */ (error));
        if (!refused.again || tries === triesMax - 1) throw refused;
        await refused.wait(tries);
      }
    }
  }

  /**
   * A stream to its end. When it breaks it begins again at `request.cursor`, which the caller moves on.
   * @param {any} client @param {string} method @param {{ cursor: string }} request
   */
  async *stream(client, method, request) {
    for (let tries = 0; ; tries += 1) {
      const stream = client[method](request, this.auth());
      stream.on('error', () => {}); // told by the loop below; after a cancel by nobody
      try {
        for await (const message of stream) {
          tries = 0;
          yield message;
        }
        return;
      } catch (error) {
        const refused = new Refused(/** @type {grpc.ServiceError} */ (error));
        if (!refused.again) throw refused;
        console.log(`stream   broke, goes on from its cursor: ${refused.message}`);
        await refused.wait(tries);
      } finally {
        stream.cancel();
      }
    }
  }

  /** A statement about money: a compact JWS under the key that the retailer registered. @param {string} typ @param {any} claims */
  async sign(typ, claims) {
    const key = await importPKCS8(readFileSync(this.path(this.config.payment_key_file), 'utf8'), 'EdDSA');
    return new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', typ, kid: this.config.payment_key_id }).sign(key);
  }
}
