// A sign-in as an application sees it, by the certified relying party `openid-client`.
//
// Takes, in CARDEA_CLIENT_CONFIG or as its argument, a JSON object:
//   issuer, client_id, client_secret, redirect_uri, username, password
//   scope              what to ask for; "openid" if absent
//   auth_method        client_secret_basic (if absent) or client_secret_post
//   id_token_alg       which algorithm the ID token must be signed with; RS256 if absent
// The page at `issuer` that asks for them must have the fields `username` and `password`.
//
// Prints {"ok": true, …} and ends with 0, or {"ok": false, "step", "error"} and ends with 1.
// It proves, in this order: discovery; code + PKCE through the pages; the ID token (signature by the
// published keys, claims, nonce, at_hash); userinfo; introspection; that a second application needs no
// second sign-in; that a wrong verifier and a reused code are refused, and that reuse ends what the code
// had given; that a revoked token is dead at introspection and userinfo.

import { createHash, webcrypto } from 'node:crypto';
import { Browser, forms } from './browser.mjs';

// Node.js 18 has no global `crypto` yet, and the library wants it when it is loaded.
globalThis.crypto ??= webcrypto;
const client = await import('openid-client');
const jose = await import('jose');

let step = 'configuration';
const result = { ok: true };

function must(holds, what) {
  if (!holds) throw new Error(what);
}

/** Waits for a refusal with this OAuth error; anything else is wrong. */
async function refused(error, attempt) {
  try {
    await attempt;
  } catch (refusal) {
    must(refusal.error === error, `refused with ${refusal.error ?? refusal}, not with ${error}`);
    must(refusal.status === 400, `refused with status ${refusal.status}, not 400`);
    return refusal.error;
  }
  throw new Error(`not refused; ${error} was due`);
}

function authentication({ client_secret, auth_method = 'client_secret_basic' }) {
  const methods = {
    client_secret_basic: client.ClientSecretBasic,
    client_secret_post: client.ClientSecretPost,
  };
  must(auth_method in methods, `unknown auth_method ${auth_method}`);
  return methods[auth_method](client_secret);
}

async function discover(config) {
  const plain = new URL(config.issuer).protocol === 'http:';
  const provider = await client.discovery(
    new URL(config.issuer),
    config.client_id,
    { id_token_signed_response_alg: config.id_token_alg ?? 'RS256' },
    authentication(config),
    { execute: plain ? [client.allowInsecureRequests] : [] },
  );
  // The code flow lets a client trust the connection alone; we want the signature checked too.
  client.enableNonRepudiationChecks(provider);
  return provider;
}

/** Fills in each page with a form that can be filled in or agreed to, until the application is reached. */
async function signIn(browser, url, config) {
  let page = await browser.open(url, config.redirect_uri);
  let asked = false;
  for (let turn = 0; turn < 5 && !page.arrived; turn += 1) {
    must(page.status === 200, `${page.url} answers ${page.status}: ${page.html.slice(0, 500)}`);
    const [form] = forms(page.html).sort((a, b) => b.shown.size - a.shown.size);
    must(form, `no form on ${page.url}: ${page.html.slice(0, 500)}`);
    const filled = {};
    for (const name of ['username', 'password']) if (form.shown.has(name)) filled[name] = config[name];
    asked ||= 'password' in filled;
    page = await browser.submit(page, form, filled, config.redirect_uri);
  }
  must(page.arrived, `the application is not reached, only ${page.url}`);
  return { callback: page.url, asked };
}

/** One authorization: its callback and what the exchange must check it against. */
async function authorize(provider, browser, config) {
  const verifier = client.randomPKCECodeVerifier();
  const expected = { state: client.randomState(), nonce: client.randomNonce() };
  const url = client.buildAuthorizationUrl(provider, {
    redirect_uri: config.redirect_uri,
    scope: config.scope ?? 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...expected,
  });
  const { callback, asked } = await signIn(browser, url, config);
  const checks = {
    pkceCodeVerifier: verifier,
    expectedState: expected.state,
    expectedNonce: expected.nonce,
    idTokenExpected: true,
  };
  return { callback, checks, asked };
}

function exchange(provider, { callback, checks }) {
  return client.authorizationCodeGrant(provider, callback, checks);
}

/** What the library does not look at: the key id, and the hash that binds the access token. */
async function checkIdToken(provider, config, tokens) {
  const metadata = provider.serverMetadata();
  const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
  const { payload, protectedHeader } = await jose.jwtVerify(tokens.id_token, keys, {
    issuer: metadata.issuer,
    audience: config.client_id,
    requiredClaims: ['sub', 'iat', 'exp', 'nonce'],
  });
  must(protectedHeader.kid, 'the ID token names no key');
  if (payload.at_hash !== undefined) {
    const hash = `sha${protectedHeader.alg.slice(-3)}`;
    const digest = createHash(hash).update(tokens.access_token, 'ascii').digest();
    const half = digest.subarray(0, digest.length / 2).toString('base64url');
    must(payload.at_hash === half, 'at_hash does not belong to the access token');
  }
  return { alg: protectedHeader.alg, claims: payload };
}

async function deadAtUserinfo(provider, tokens, sub) {
  try {
    await client.fetchUserInfo(provider, tokens.access_token, sub);
  } catch (refusal) {
    must(refusal.status === 401, `userinfo refuses with ${refusal.status ?? refusal}, not 401`);
    must(refusal.cause?.[0]?.parameters?.error === 'invalid_token', 'userinfo does not say invalid_token');
    return;
  }
  throw new Error('userinfo still takes the token');
}

async function journey(config) {
  for (const name of ['issuer', 'client_id', 'client_secret', 'redirect_uri', 'username', 'password']) {
    must(typeof config[name] === 'string', `${name} is missing`);
  }
  const browser = new Browser();

  step = 'discovery';
  const provider = await discover(config);
  const metadata = provider.serverMetadata();
  result.issuer = metadata.issuer;

  step = 'sign-in';
  const first = await authorize(provider, browser, config);
  must(first.asked, 'no password was asked for');
  if (metadata.authorization_response_iss_parameter_supported) {
    must(first.callback.searchParams.get('iss') === metadata.issuer, 'iss of the callback (RFC 9207)');
  }

  step = 'token';
  const tokens = await exchange(provider, first);
  must(tokens.token_type === 'bearer', `token_type is ${tokens.token_type}`);
  result.expires_in = tokens.expires_in;
  result.scope = tokens.scope;

  step = 'id_token';
  const { alg, claims } = await checkIdToken(provider, config, tokens);
  result.id_token = { alg, claims };

  step = 'userinfo';
  result.userinfo = await client.fetchUserInfo(provider, tokens.access_token, claims.sub);

  step = 'introspection';
  result.introspection = await client.tokenIntrospection(provider, tokens.access_token);
  must(result.introspection.active === true, 'a fresh token is not active');
  must(result.introspection.sub === claims.sub, 'introspection tells of another sub');

  step = 'single sign-on';
  const second = await authorize(provider, browser, config);
  must(!second.asked, 'the password was asked for again');

  step = 'wrong verifier';
  const wrong = { ...second, checks: { ...second.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() } };
  result.wrong_verifier = await refused('invalid_grant', exchange(provider, wrong));

  step = 'code reuse';
  const third = await authorize(provider, browser, config);
  const doomed = await exchange(provider, third);
  result.code_reuse = await refused('invalid_grant', exchange(provider, third));
  // RFC 6749, 4.1.2: the tokens that the code had given SHOULD go with it.
  const { active } = await client.tokenIntrospection(provider, doomed.access_token);
  must(active === false, 'the token of a reused code is still active');

  step = 'revocation';
  await client.tokenRevocation(provider, tokens.access_token);
  const after = await client.tokenIntrospection(provider, tokens.access_token);
  must(after.active === false, 'a revoked token is still active');
  must(Object.keys(after).length === 1, 'introspection tells more of a dead token than that it is');
  await deadAtUserinfo(provider, tokens, claims.sub);
  result.revoked = true;
}

try {
  await journey(JSON.parse(process.argv[2] ?? process.env.CARDEA_CLIENT_CONFIG));
  console.log(JSON.stringify(result));
} catch (error) {
  console.log(JSON.stringify({ ...result, ok: false, step, error: String(error.message ?? error) }));
  console.error(error);
  process.exitCode = 1;
}
