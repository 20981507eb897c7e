// Looks at pages as people with assistive technology meet them: axe-core on every one, in a real browser.
//
//   node pages.mjs FOLDER [PICTURES]
//
// FOLDER holds LOCALE/NAME.html. Each is opened in Chromium, wide and light, then narrow and dark, and axe-core runs all
// its rules on it; nothing may scroll sideways. With PICTURES, a folder, it is also photographed at three widths, light
// and dark.
//
// Prints {"ok": true, "checked"} and ends with 0, or {"ok": false, "checked", "found"} and ends with 1. The browser is
// CARDEA_CHROMIUM, by default `chromium`. It is spoken to over a pipe, in its DevTools protocol: no driver, no port.

import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, pictures] = process.argv.slice(2);
const LOOKS = [['light', 1280], ['dark', 380]];
const PICTURED = ['light', 'dark'].flatMap((scheme) => [380, 820, 1400].map((width) => [scheme, width]));

/** A browser behind a pipe: messages are JSON, each ended by NUL. */
class Browser {
  static async start() {
    const profile = await mkdtemp(join(tmpdir(), 'cardea-pages-'));
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
      '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'];
    const program = process.env.CARDEA_CHROMIUM || 'chromium';
    const child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    return new Browser(child, profile);
  }

  constructor(child, profile) {
    Object.assign(this, { child, profile, next: 1, waiting: new Map(), events: new Map() });
    child.on('error', (error) => this.fail(error));
    child.on('exit', (code) => this.fail(new Error(`the browser ended with ${code}`)));
    let text = '';
    child.stdio[4].setEncoding('utf8').on('data', (more) => {
      const messages = (text + more).split('\0');
      text = messages.pop();
      messages.forEach((message) => this.hear(JSON.parse(message)));
    });
  }

  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
    this.failed = error;
  }

  hear({ id, result, error, method }) {
    if (id) {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error.message)); else resolve(result);
    } else if (this.events.has(method)) {
      this.events.get(method)();
      this.events.delete(method);
    }
  }

  send(method, params = {}) {
    if (this.failed) return Promise.reject(this.failed);
    const id = this.next++;
    const answer = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return answer;
  }

  async openTab() {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    this.session = sessionId;
    await this.send('Page.enable');
  }

  async go(url) {
    const loaded = new Promise((resolve) => this.events.set('Page.loadEventFired', resolve));
    await this.send('Page.navigate', { url });
    await loaded;
  }

  async look(scheme, width, height) {
    // Without motion: what is judged and pictured is where it ends.
    const features = [{ name: 'prefers-color-scheme', value: scheme }, { name: 'prefers-reduced-motion', value: 'reduce' }];
    await this.send('Emulation.setEmulatedMedia', { features });
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.send('Emulation.setDeviceMetricsOverride', metrics);
  }

  async evaluate(expression) {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', asked);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async photograph(file) {
    const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: true });
    await writeFile(file, Buffer.from(data, 'base64'));
  }

  async stop() {
    this.session = undefined;
    await this.send('Browser.close').catch(() => {});
    this.child.kill();
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function pages() {
  const all = [];
  for (const locale of (await readdir(folder)).sort()) {
    for (const file of (await readdir(join(folder, locale))).sort()) {
      all.push({ name: `${locale}/${file.replace(/\.html$/, '')}`, url: pathToFileURL(resolve(folder, locale, file)).href });
    }
  }
  return all;
}

/** What axe finds, and what it is not sure of where it could be: contrast it cannot reckon is a finding, too. */
const RUN = `axe.run(document, { resultTypes: ['violations', 'incomplete'] }).then(({ violations, incomplete }) =>
  [...violations, ...incomplete.filter(({ id }) => id === 'color-contrast')].map(({ id, nodes }) =>
    ({ id, at: nodes.map(({ html, failureSummary }) => html.slice(0, 160) + ' — ' + failureSummary) })))`;

/** The same finding on many pages is one, with where it was met first. */
const found = new Map();
function find(page, scheme, id, at) {
  const key = `${id} ${at}`;
  found.set(key, { id, at, first: found.get(key)?.first ?? `${page} ${scheme}`, times: (found.get(key)?.times ?? 0) + 1 });
}

const browser = await Browser.start();
let checked = 0;
try {
  const axe = await readFile(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
  await browser.openTab();
  for (const { name, url } of await pages()) {
    await browser.go(url);
    await browser.evaluate(`${axe}; undefined`);
    for (const [scheme, width] of LOOKS) {
      // High enough that nothing is scrolled out of sight, where contrast cannot be reckoned.
      await browser.look(scheme, width, 4000);
      const scroll = await browser.evaluate('document.documentElement.scrollWidth');
      if (scroll > width) find(name, scheme, 'scrolls-sideways', `${scroll} px`);
      for (const { id, at } of await browser.evaluate(RUN)) at.forEach((text) => find(name, scheme, id, text));
      checked += 1;
    }
    for (const [scheme, width] of pictures ? PICTURED : []) {
      await browser.look(scheme, width, 900);
      await mkdir(join(pictures, name), { recursive: true });
      await browser.photograph(join(pictures, name, `${scheme}-${width}.png`));
    }
  }
} finally {
  await browser.stop();
}
const ok = found.size === 0;
console.log(JSON.stringify(ok ? { ok, checked } : { ok, checked, found: [...found.values()] }));
process.exitCode = ok ? 0 : 1;
