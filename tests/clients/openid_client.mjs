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

import { createHash } from 'node:crypto';
import { Browser } from './browser.mjs';
import { authorize, client, complete, discover, exchange, jose, must, refused, tell } from './relying_party.mjs';

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

async function journey(config, result, step) {
  complete(config);
  const browser = new Browser();

  step('discovery');
  const provider = await discover(config);
  const metadata = provider.serverMetadata();
  result.issuer = metadata.issuer;

  step('sign-in');
  const first = await authorize(provider, browser, config);
  must(first.asked, 'no password was asked for');
  if (metadata.authorization_response_iss_parameter_supported) {
    must(first.callback.searchParams.get('iss') === metadata.issuer, 'iss of the callback (RFC 9207)');
  }

  step('token');
  const tokens = await exchange(provider, first);
  must(tokens.token_type === 'bearer', `token_type is ${tokens.token_type}`);
  result.expires_in = tokens.expires_in;
  result.scope = tokens.scope;

  step('id_token');
  const { alg, claims } = await checkIdToken(provider, config, tokens);
  result.id_token = { alg, claims };

  step('userinfo');
  result.userinfo = await client.fetchUserInfo(provider, tokens.access_token, claims.sub);

  step('introspection');
  result.introspection = await client.tokenIntrospection(provider, tokens.access_token);
  must(result.introspection.active === true, 'a fresh token is not active');
  must(result.introspection.sub === claims.sub, 'introspection tells of another sub');

  step('single sign-on');
  const second = await authorize(provider, browser, config);
  must(!second.asked, 'the password was asked for again');

  step('wrong verifier');
  const wrong = { ...second, checks: { ...second.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() } };
  result.wrong_verifier = await refused('invalid_grant', exchange(provider, wrong));

  step('code reuse');
  const third = await authorize(provider, browser, config);
  const doomed = await exchange(provider, third);
  result.code_reuse = await refused('invalid_grant', exchange(provider, third));
  // RFC 6749, 4.1.2: the tokens that the code had given SHOULD go with it.
  const { active } = await client.tokenIntrospection(provider, doomed.access_token);
  must(active === false, 'the token of a reused code is still active');

  step('revocation');
  await client.tokenRevocation(provider, tokens.access_token);
  const after = await client.tokenIntrospection(provider, tokens.access_token);
  must(after.active === false, 'a revoked token is still active');
  must(Object.keys(after).length === 1, 'introspection tells more of a dead token than that it is');
  await deadAtUserinfo(provider, tokens, claims.sub);
  result.revoked = true;
}

await tell(journey);
