// A browser as small as a sign-in needs: cookies by origin, redirects by hand, forms without scripts.
//
// It does what a browser must and no more, so that a page that only works by leniency fails here:
// a form goes out with the origin that a browser would send, hidden fields and the pressed button
// included; a `__Host-` cookie is kept only if it is Secure, has the path / and no domain.

/** How many redirects and pages one journey may take. */
const PATIENCE = 20;

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeHtml(text) {
  return text.replace(/&(#x[0-9a-f]+|#[0-9]+|[a-z]+);/gi, (whole, name) => {
    if (/^#x/i.test(name)) return String.fromCodePoint(parseInt(name.slice(2), 16));
    if (name.startsWith('#')) return String.fromCodePoint(parseInt(name.slice(1), 10));
    return ENTITIES[name.toLowerCase()] ?? whole;
  });
}

/** The attributes of one start tag, by lower-case name; one without a value is ''. */
function attributes(tag) {
  const found = {};
  const body = tag.replace(/^<[a-z0-9]+/i, '').replace(/\/?>$/, '');
  for (const [, name, double, single, bare] of body.matchAll(
    /([^\s"'=<>/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?/g,
  )) {
    found[name.toLowerCase()] ??= unescapeHtml(double ?? single ?? bare ?? '');
  }
  return found;
}

/** The forms of a page: where they go, how, what they hold, which fields they show. */
export function forms(html) {
  const page = html.replace(/<!--[\s\S]*?-->/g, '').replace(/<script[\s\S]*?<\/script>/gi, '');
  return [...page.matchAll(/(<form\b[^>]*>)([\s\S]*?)<\/form>/gi)].map(([, tag, inside]) => {
    const { action = '', method = 'get' } = attributes(tag);
    const form = { action, method: method.toUpperCase(), values: [], shown: new Set() };
    let pressed = false;
    for (const [field] of inside.matchAll(/<(?:input|button)\b[^>]*>/gi)) {
      const { name, value, type: given, disabled } = attributes(field);
      const type = (given ?? (/^<button/i.test(field) ? 'submit' : 'text')).toLowerCase();
      if (disabled !== undefined) continue;
      if (type === 'submit') {
        // A person presses the first button.
        if (!pressed && name) form.values.push([name, value ?? '']);
        pressed = true;
      } else if (name && type === 'hidden') {
        form.values.push([name, value ?? '']);
      } else if (name) {
        form.shown.add(name);
      }
    }
    return form;
  });
}

/** One browser: a jar of cookies that lives as long as it. */
export class Browser {
  #jar = new Map();

  /** Follows `url` to the first page or to an address that starts with `until`, which is not fetched. */
  async open(url, until) {
    return this.#follow(new URL(url), { method: 'GET' }, undefined, until);
  }

  /** Sends a form of `page`, with `filled` in its fields, and follows as `open` does. */
  async submit(page, form, filled, until) {
    const values = new URLSearchParams([...form.values, ...Object.entries(filled)]);
    const target = new URL(form.action || page.url, page.url);
    if (form.method === 'GET') {
      target.search = values.toString();
      return this.#follow(target, { method: 'GET' }, page.url, until);
    }
    return this.#follow(target, { method: 'POST', body: values }, page.url, until);
  }

  /** The names of the cookies that `url` would get. */
  cookies(url) {
    return [...(this.#jar.get(new URL(url).origin)?.keys() ?? [])];
  }

  async #follow(url, request, from, until) {
    for (let turn = 0; turn < PATIENCE; turn += 1) {
      if (until && url.href.startsWith(until)) return { url, arrived: true };
      const response = await fetch(url, {
        ...request,
        headers: this.#headers(url, request, from),
        redirect: 'manual',
      });
      this.#keep(url, response);
      const next = response.headers.get('location');
      if (response.status < 300 || response.status >= 400 || !next) {
        return { url, arrived: false, status: response.status, html: await response.text() };
      }
      await response.body?.cancel();
      from = url;
      url = new URL(next, url);
      // RFC 9110, 15.4: only 307 and 308 repeat the request as it was.
      if (response.status !== 307 && response.status !== 308) request = { method: 'GET' };
    }
    throw new Error(`more than ${PATIENCE} redirects, the last to ${url}`);
  }

  #headers(url, request, from) {
    const headers = { accept: 'text/html,application/xhtml+xml', 'accept-language': 'en' };
    headers['sec-fetch-dest'] = 'document';
    headers['sec-fetch-site'] = !from ? 'none' : from.origin === url.origin ? 'same-origin' : 'cross-site';
    if (request.method === 'POST') headers.origin = from.origin;
    if (from) headers.referer = from.origin === url.origin ? from.href : `${from.origin}/`;
    const jar = this.#jar.get(url.origin);
    if (jar?.size) headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    return headers;
  }

  #keep(url, response) {
    const jar = this.#jar.get(url.origin) ?? new Map();
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...rest] = line.split(';');
      const name = pair.slice(0, pair.indexOf('=')).trim();
      const value = pair.slice(pair.indexOf('=') + 1).trim();
      const flags = Object.fromEntries(
        rest.map((flag) => flag.trim().split('=')).map(([key, set = '']) => [key.toLowerCase(), set]),
      );
      // RFC 6265bis, 4.1.3.2. A loopback host is trusted with Secure cookies, as in browsers.
      const bound = 'secure' in flags && flags.path === '/' && !('domain' in flags);
      if (name.startsWith('__Host-') && !bound) throw new Error(`a browser refuses this cookie: ${line}`);
      const over = flags['max-age'] !== undefined ? Number(flags['max-age']) <= 0 : Date.parse(flags.expires) <= Date.now();
      if (over) jar.delete(name);
      else jar.set(name, value);
    }
    this.#jar.set(url.origin, jar);
  }
}
