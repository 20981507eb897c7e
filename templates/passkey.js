"use strict";
// Asks the browser for a passkey and posts its answer as a form. It fetches nothing and keeps nothing.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const decoded = (form) => {
    const options = JSON.parse(form.dataset.options).publicKey;
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    for (const list of [options.allowCredentials, options.excludeCredentials]) {
      for (const credential of list || []) credential.id = bytes(credential.id);
    }
    return options;
  };
  const encoded = (credential) => {
    const answer = credential.response;
    const response = { clientDataJSON: text(answer.clientDataJSON) };
    if (answer.attestationObject) {
      response.attestationObject = text(answer.attestationObject);
    } else {
      response.authenticatorData = text(answer.authenticatorData);
      response.signature = text(answer.signature);
      response.userHandle = answer.userHandle ? text(answer.userHandle) : null;
    }
    return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
  };
  let waiting = null;
  const ask = async (form, mediation) => {
    if (waiting) waiting.abort();
    waiting = new AbortController();
    const options = { publicKey: decoded(form), signal: waiting.signal };
    if (mediation) options.mediation = mediation;
    const credential = await navigator.credentials[form.dataset.passkey](options);
    form.elements.passkey.value = encoded(credential);
    form.submit();
  };
  const begin = async (form) => {
    const alarm = form.querySelector(".alarm");
    alarm.hidden = true;
    try {
      await ask(form);
    } catch (error) {
      if (error.name !== "AbortError") {
        alarm.textContent = form.dataset.failed;
        alarm.hidden = false;
      }
    }
  };
  const wait = async (form) => {
    const can = PublicKeyCredential.isConditionalMediationAvailable;
    if (!document.querySelector("[autocomplete~=webauthn]") || !can) return;
    try {
      if (await can.call(PublicKeyCredential)) await ask(form, "conditional");
    } catch {
      // Nobody chose one, or the button was pressed instead.
    }
  };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) break;
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      begin(form);
    });
    if (form.dataset.passkey === "get") wait(form);
  }
})();
