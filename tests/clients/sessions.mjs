// The life and the end of a session as an application sees them, by the certified relying party `openid-client`.
//
// Takes, in CARDEA_CLIENT_CONFIG or as its argument, a JSON object:
//   issuer, client_id, client_secret, redirect_uri, username, password    as `openid_client.mjs`
//   scope, auth_method, id_token_alg                                      as `openid_client.mjs`
//   backchannel_port    where this application is registered to be told, as http://localhost:PORT/backchannel
//   portal              another application of the same provider: client_id, client_secret, redirect_uri,
//                       post_logout_redirect_uri
//   hr                  who ends the employment: a SCIM base address and a bearer token
//
// Prints {"ok": true, …} and ends with 0, or {"ok": false, "step", "error"} and ends with 1.
// It proves, in this order: that a refresh token works, and is replaced by it; that a client which lost the answer
// gets the same one again; that who comes with a token whose successor is in use ends the grant; that signing out
// at one application ends the session at the other, which is told by a logout token that holds; that the end of an
// account is told, too, and ends refresh token and password at once.

import { createServer } from 'node:http';
import { Browser, forms } from './browser.mjs';
import { authorize, client, complete, discover, exchange, jose, must, refused, tell } from './relying_party.mjs';

/** How long a logout token may take, in milliseconds: far longer than it does. */
const PATIENCE = 20_000;
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/** An application's sessions by `sid`, and the address at which the provider says that they are over. */
class Application {
  #provider;
  #config;
  #keys;
  #server;
  #heard = new Set();
  /** Who is signed in: `sid` to `sub`. */
  sessions = new Map();

  constructor(provider, config) {
    this.#provider = provider;
    this.#config = config;
    this.#keys = jose.createRemoteJWKSet(new URL(provider.serverMetadata().jwks_uri));
  }

  async listen(port) {
    this.#server = createServer((request, response) => this.#answer(request, response));
    await new Promise((listening, failed) => {
      this.#server.once('error', failed).listen(port, '127.0.0.1', listening);
    });
  }

  close() {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  /** Signs in through the provider's pages; the tokens, and whether the password was asked for. */
  async signIn(browser) {
    const authorized = await authorize(this.#provider, browser, this.#config);
    const tokens = await exchange(this.#provider, authorized);
    const { sid, sub } = tokens.claims();
    must(sid, 'the ID token names no session');
    this.sessions.set(sid, sub);
    return { tokens, sid, sub, asked: authorized.asked };
  }

  /** Waits until a session is over. */
  async gone(sid) {
    const until = Date.now() + PATIENCE;
    while (this.sessions.has(sid)) {
      must(Date.now() < until, `no logout token ended the session ${sid}`);
      await new Promise((later) => setTimeout(later, 20));
    }
  }

  async #answer(request, response) {
    try {
      must(request.method === 'POST' && request.url === '/backchannel', `${request.method} ${request.url}`);
      const type = request.headers['content-type'];
      must(type === 'application/x-www-form-urlencoded', `a logout token comes as a form, not as ${type}`);
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      await this.#believe(new URLSearchParams(Buffer.concat(chunks).toString()).get('logout_token'));
      response.writeHead(200, { 'cache-control': 'no-store' }).end();
    } catch (error) {
      console.error('a logout token is not believed:', error);
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: 'invalid_request', error_description: String(error.message) }));
    }
  }

  /** OpenID Connect Back-Channel Logout 1.0, section 2.6, and what must follow from it. */
  async #believe(token) {
    const { payload } = await jose.jwtVerify(token, this.#keys, {
      issuer: this.#config.issuer,
      audience: this.#config.client_id,
      typ: 'logout+jwt',
      algorithms: [this.#config.id_token_alg ?? 'RS256'],
      requiredClaims: ['iat', 'exp', 'jti', 'events'],
      maxTokenAge: '2 minutes',
    });
    must(JSON.stringify(payload.events) === JSON.stringify({ [EVENT]: {} }), 'events is another one');
    must(!('nonce' in payload), 'a logout token has no nonce');
    must(payload.sub ?? payload.sid, 'neither sub nor sid');
    must(!this.#heard.has(payload.jti), 'it was heard before');
    this.#heard.add(payload.jti);
    for (const [sid, sub] of this.sessions) {
      if (payload.sid ? payload.sid === sid : payload.sub === sub) this.sessions.delete(sid);
    }
  }
}

/** What the library does not decide: whether an access token still opens anything. */
async function active(provider, { access_token }) {
  return (await client.tokenIntrospection(provider, access_token)).active;
}

async function rotation(provider, { tokens, sub }, step) {
  const refresh = (token) => client.refreshTokenGrant(provider, token);

  step('refresh');
  must(tokens.refresh_token, 'there is no refresh token');
  const second = await refresh(tokens.refresh_token);
  must(second.access_token !== tokens.access_token, 'the access token is the old one');
  must(second.refresh_token !== tokens.refresh_token, 'the refresh token is the old one');
  // OpenID Connect Core, 12.2: an ID token of a refresh is about the same person and the same sign-in.
  const [before, after] = [tokens.claims(), second.claims()];
  must(after === undefined || (after.sub === before.sub && after.auth_time === before.auth_time), 'another sign-in');
  await client.fetchUserInfo(provider, second.access_token, sub);

  step('the same answer again');
  const again = await refresh(tokens.refresh_token);
  must(again.refresh_token === second.refresh_token, 'an answer that was lost has another successor');

  step('reuse');
  const third = await refresh(again.refresh_token);
  must(third.refresh_token !== again.refresh_token, 'the successor is not replaced');
  await refused('invalid_grant', refresh(tokens.refresh_token));
  await refused('invalid_grant', refresh(third.refresh_token));
  must(!(await active(provider, third)), 'the grant of a reused token lives on');
}

/** Signs out at the portal (OpenID Connect RP-Initiated Logout 1.0), which the browser must be sent back to. */
async function signOutAt(portal, provider, browser, { tokens }) {
  const url = client.buildEndSessionUrl(provider, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: portal.post_logout_redirect_uri,
    state: 'good-bye',
  });
  const page = await browser.open(url, portal.post_logout_redirect_uri);
  must(page.arrived, `not sent back, but shown ${page.url}: ${page.html}`);
  must(page.url.searchParams.get('state') === 'good-bye', 'the state is lost');
}

/** As HR's provisioning says that somebody leaves (RFC 7644, section 3.5.2). */
async function endEmployment({ scim, token }, username) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' };
  const filter = encodeURIComponent(`userName eq ${JSON.stringify(username)}`);
  const found = await (await fetch(`${scim}/Users?filter=${filter}`, { headers })).json();
  must(found.totalResults === 1, `HR finds ${found.totalResults} of ${username}`);
  const schemas = ['urn:ietf:params:scim:api:messages:2.0:PatchOp'];
  const body = JSON.stringify({ schemas, Operations: [{ op: 'replace', path: 'active', value: false }] });
  const patched = await fetch(`${scim}/Users/${found.Resources[0].id}`, { method: 'PATCH', headers, body });
  must(patched.ok, `HR is answered ${patched.status}: ${await patched.text()}`);
}

/** A leaver sees the sign-in page again, whatever they type. */
async function refusedAtTheDoor(provider, browser, config) {
  const url = client.buildAuthorizationUrl(provider, {
    redirect_uri: config.redirect_uri,
    scope: 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
    code_challenge_method: 'S256',
  });
  const page = await browser.open(url, config.redirect_uri);
  const form = forms(page.html ?? '').find(({ shown }) => shown.has('password'));
  must(form, 'the browser of a leaver is still signed in');
  const { username, password } = config;
  const answer = await browser.submit(page, form, { username, password }, config.redirect_uri);
  must(!answer.arrived, 'the password of a leaver opens the application');
}

async function journey(config, result, step) {
  complete(config);
  const { portal, hr } = config;

  step('discovery');
  const provider = await discover(config);
  const metadata = provider.serverMetadata();
  must(metadata.backchannel_logout_supported === true, 'back-channel logout is not announced');
  must(metadata.backchannel_logout_session_supported === true, 'sessions in logout tokens are not announced');
  const application = new Application(provider, config);
  const portalProvider = await discover({ ...config, ...portal });
  const portalApplication = new Application(portalProvider, { ...config, ...portal });
  await application.listen(config.backchannel_port);
  try {
    step('sign-in');
    const browser = new Browser();
    const first = await application.signIn(browser);
    await rotation(provider, first, step);
    result.rotated = true;

    step('signed out at the portal');
    const [here, there] = [await application.signIn(browser), await portalApplication.signIn(browser)];
    must(!here.asked && !there.asked, 'the session ended with a grant in it');
    must(here.sid === there.sid, 'two applications in one browser have two sessions');
    await signOutAt(portal, portalProvider, browser, there);
    await application.gone(here.sid);
    must(!(await active(provider, here.tokens)), 'the access token outlives the session');
    await refused('invalid_grant', client.refreshTokenGrant(provider, here.tokens.refresh_token));
    result.signed_out_elsewhere = true;

    step('the employment ends');
    const last = await application.signIn(browser);
    must(last.asked, 'the browser is still signed in');
    must(last.sid !== here.sid, 'the session came back to life');
    await endEmployment(hr, config.username);
    await application.gone(last.sid);
    must(!(await active(provider, last.tokens)), 'the access token outlives the account');
    await refused('invalid_grant', client.refreshTokenGrant(provider, last.tokens.refresh_token));
    await refusedAtTheDoor(provider, browser, config);
    must(application.sessions.size === 0, 'somebody is signed in');
    result.deactivated = true;
  } finally {
    application.close();
  }
}

await tell(journey);
