// An application that keeps its people signed in with refresh tokens, and is told when that ends.
//
// Takes, in CARDEA_CLIENT_CONFIG or as its argument, a JSON object:
//   issuer, client_id, client_secret, redirect_uri, username, password, id_token_alg
//   port               where it listens for `POST /backchannel`
//   scim, scim_token   where HR writes, and its bearer token
//
// Prints {"ok": true, …} and ends with 0, or {"ok": false, "step", "error"} and ends with 1.
// It proves, in this order: a refresh gives the next tokens; the token before is answered with the same successor; one
// whose successor was used ends all that was granted; after another sign-in HR ends the employment, and a logout token
// arrives that `jose` believes, of this person and session; from then on nothing can be refreshed.

import { webcrypto } from 'node:crypto';
import { createServer } from 'node:http';
import { Browser, forms } from './browser.mjs';

globalThis.crypto ??= webcrypto;
const client = await import('openid-client');
const jose = await import('jose');

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
let step = 'configuration';
const result = { ok: true };

function must(holds, what) {
  if (!holds) throw new Error(what);
}

async function refused(attempt) {
  try {
    await attempt;
  } catch (refusal) {
    return refusal.error ?? String(refusal);
  }
  return 'nothing';
}

/** Signs in with a browser of its own. */
async function signIn(provider, config) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const url = client.buildAuthorizationUrl(provider, {
    redirect_uri: config.redirect_uri,
    scope: 'openid',
    state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const browser = new Browser();
  let page = await browser.open(url, config.redirect_uri);
  const [form] = forms(page.html).filter(({ shown }) => shown.has('password'));
  must(form, `no sign-in on ${page.url}`);
  const { username, password } = config;
  page = await browser.submit(page, form, { username, password }, config.redirect_uri);
  must(page.arrived, `the application is not reached, only ${page.url}`);
  return client.authorizationCodeGrant(provider, page.url, { pkceCodeVerifier: verifier, expectedState: state });
}

/** The form that is posted to us, once. */
function told(port) {
  return new Promise((resolve, reject) => {
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (part) => { body += part; });
      request.on('end', () => {
        response.writeHead(request.url === '/backchannel' ? 200 : 404, { 'cache-control': 'no-store' }).end();
        server.close();
        resolve(new URLSearchParams(body));
      });
    });
    server.on('error', reject);
    server.listen(port, '127.0.0.1');
    setTimeout(() => { server.close(); reject(new Error('nobody told us within 20 s')); }, 20_000).unref();
  });
}

async function endEmployment(config, user) {
  const answer = await fetch(`${config.scim}/Users/${user}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${config.scim_token}`, 'content-type': 'application/scim+json' },
    body: JSON.stringify({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
      Operations: [{ op: 'Replace', path: 'active', value: 'False' }],
    }),
  });
  must(answer.ok, `HR is answered ${answer.status}`);
}

async function journey(config) {
  step = 'discovery';
  const provider = await client.discovery(
    new URL(config.issuer),
    config.client_id,
    { id_token_signed_response_alg: config.id_token_alg },
    client.ClientSecretBasic(config.client_secret),
    { execute: [client.allowInsecureRequests] },
  );
  client.enableNonRepudiationChecks(provider);
  const metadata = provider.serverMetadata();
  must(metadata.backchannel_logout_supported === true, 'no back-channel logout is announced');

  step = 'refresh';
  const first = await signIn(provider, config);
  const second = await client.refreshTokenGrant(provider, first.refresh_token);
  must(second.refresh_token !== first.refresh_token, 'the refresh token stays the same');
  must(second.claims().sub === first.claims().sub, 'another person');
  const again = await client.refreshTokenGrant(provider, first.refresh_token);
  must(again.refresh_token === second.refresh_token, 'a lost answer is not given again');

  step = 'reuse';
  const third = await client.refreshTokenGrant(provider, second.refresh_token);
  result.reuse = await refused(client.refreshTokenGrant(provider, first.refresh_token));
  result.after_reuse = await refused(client.refreshTokenGrant(provider, third.refresh_token));
  must((await client.tokenIntrospection(provider, third.access_token)).active === false, 'the grant lives');

  step = 'logout';
  const held = await signIn(provider, config);
  const { sub, sid } = held.claims();
  const telling = told(config.port);
  await endEmployment(config, sub);
  const token = (await telling).get('logout_token');
  const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
  const { payload } = await jose.jwtVerify(token, keys, {
    issuer: metadata.issuer,
    audience: config.client_id,
    typ: 'logout+jwt',
    algorithms: [config.id_token_alg],
    requiredClaims: ['iat', 'exp', 'jti', 'events'],
  });
  must(EVENT in payload.events && !('nonce' in payload), 'it is no logout token');
  must(payload.sub === sub, 'it is of somebody else');
  must(payload.sid === undefined || payload.sid === sid, 'it is of another session');
  result.told = { sub: payload.sub };
  result.after_logout = await refused(client.refreshTokenGrant(provider, held.refresh_token));
}

try {
  await journey(JSON.parse(process.argv[2] ?? process.env.CARDEA_CLIENT_CONFIG));
  console.log(JSON.stringify(result));
} catch (error) {
  console.log(JSON.stringify({ ...result, ok: false, step, error: String(error.message ?? error) }));
  console.error(error);
  process.exitCode = 1;
}
