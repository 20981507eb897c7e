// A logout token as an application reads it, by `jose`.
//
// Takes, in CARDEA_CLIENT_CONFIG or as its argument, a JSON object:
//   issuer, client_id, jwks, token   the published keys, and what came as `logout_token`
//   sub, sid                         whose end it must be; no sid: of the whole account
//
// Prints {"ok": true, "alg"} and ends with 0, or {"ok": false, "error"} and ends with 1.
// It proves what OpenID Connect Back-Channel Logout 1.0, section 2.6, has an application check.

import { webcrypto } from 'node:crypto';

// Node.js 18 has no global `crypto` yet, and the library wants it when it is loaded.
globalThis.crypto ??= webcrypto;
const jose = await import('jose');

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const CLAIMS = ['iss', 'aud', 'iat', 'exp', 'jti', 'events', 'sub', 'sid'];

function must(holds, what) {
  if (!holds) throw new Error(what);
}

async function check(config) {
  const keys = jose.createLocalJWKSet(config.jwks);
  const { payload, protectedHeader } = await jose.jwtVerify(config.token, keys, {
    issuer: config.issuer,
    audience: config.client_id,
    typ: 'logout+jwt',
    algorithms: ['RS256', 'ES256'],
    requiredClaims: ['iat', 'exp', 'jti', 'events', 'sub'],
    maxTokenAge: '2 minutes',
  });
  must(payload.aud === config.client_id, 'aud names somebody else, too');
  must(JSON.stringify(payload.events) === JSON.stringify({ [EVENT]: {} }), 'events is another one');
  must(!('nonce' in payload), 'a logout token has no nonce');
  must(payload.sub === config.sub, `sub is ${payload.sub}`);
  must(payload.sid === config.sid, `sid is ${payload.sid}`);
  const others = Object.keys(payload).filter((name) => !CLAIMS.includes(name));
  must(others.length === 0, `it says more than it need: ${others}`);
  return { ok: true, alg: protectedHeader.alg };
}

try {
  console.log(JSON.stringify(await check(JSON.parse(process.argv[2] ?? process.env.CARDEA_CLIENT_CONFIG))));
} catch (error) {
  console.log(JSON.stringify({ ok: false, error: String(error.message ?? error) }));
  process.exitCode = 1;
}
