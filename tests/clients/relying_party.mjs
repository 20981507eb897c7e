// What every script here that plays an application shares: `openid-client`, set up for one provider, and a person
// who fills in the provider's pages.

import { webcrypto } from 'node:crypto';
import { forms } from './browser.mjs';

// Node.js 18 has no global `crypto` yet, and the library wants it when it is loaded.
globalThis.crypto ??= webcrypto;
export const client = await import('openid-client');
export const jose = await import('jose');

export function must(holds, what) {
  if (!holds) throw new Error(what);
}

/** Waits for a refusal with this OAuth error; anything else is wrong. */
export async function refused(error, attempt) {
  try {
    await attempt;
  } catch (refusal) {
    must(refusal.error === error, `refused with ${refusal.error ?? refusal}, not with ${error}`);
    must(refusal.status === 400, `refused with status ${refusal.status}, not 400`);
    return refusal.error;
  }
  throw new Error(`not refused; ${error} was due`);
}

/** What every script is given: where the provider is, who the application is, and who signs in. */
export function complete(config, ...more) {
  const always = ['issuer', 'client_id', 'client_secret', 'redirect_uri', 'username', 'password'];
  for (const name of [...always, ...more]) must(typeof config[name] === 'string', `${name} is missing`);
}

function authentication({ client_secret, auth_method = 'client_secret_basic' }) {
  const methods = {
    client_secret_basic: client.ClientSecretBasic,
    client_secret_post: client.ClientSecretPost,
  };
  must(auth_method in methods, `unknown auth_method ${auth_method}`);
  return methods[auth_method](client_secret);
}

/** The provider as this client knows it, read off its published metadata. */
export async function discover(config) {
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
export async function authorize(provider, browser, config) {
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

/** Tokens for the code of an authorization. */
export function exchange(provider, { callback, checks }) {
  return client.authorizationCodeGrant(provider, callback, checks);
}

/** Runs a journey with the configuration, and prints how it ended: see the head of each script. */
export async function tell(journey) {
  const result = { ok: true };
  let at = 'configuration';
  const step = (name) => (at = name);
  try {
    await journey(JSON.parse(process.argv[2] ?? process.env.CARDEA_CLIENT_CONFIG), result, step);
    console.log(JSON.stringify(result));
  } catch (error) {
    console.log(JSON.stringify({ ...result, ok: false, step: at, error: String(error.message ?? error) }));
    console.error(error);
    process.exitCode = 1;
  }
}
