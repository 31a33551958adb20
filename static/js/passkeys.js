// Passkeys: <button data-passkey="/passkeys/options/..."> in a form with a field named "passkey".
//
// The button asks the portal for options, the browser for the passkey, puts its answer into the field and sends the
// form. What goes wrong is said in the form's [data-passkey-says].
(() => {
  "use strict";

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));

  async function optionsFrom(address, form) {
    const answer = await fetch(address, {
      method: "POST",
      body: new URLSearchParams({ csrf_token: form.elements.csrf_token.value }),
      headers: { Accept: "application/json" },
    });
    if (!answer.ok) throw new Error("The portal did not answer. Load the page again and try once more.");
    const options = await answer.json();
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    if (options.excludeCredentials) options.excludeCredentials = known(options.excludeCredentials);
    if (options.allowCredentials) options.allowCredentials = known(options.allowCredentials);
    return options;
  }

  function asJson(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
  }

  async function ask(button, form) {
    const publicKey = await optionsFrom(button.dataset.passkey, form);
    const make = "pubKeyCredParams" in publicKey;
    const credential = await (make ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
    form.elements.passkey.value = asJson(credential);
    form.submit();
  }

  function say(form, sentence) {
    const says = form.querySelector("[data-passkey-says]");
    says.textContent = sentence;
    says.hidden = false;
    window.announce(sentence);
  }

  const SENTENCES = {
    NotAllowedError: "No passkey was used: it was cancelled, took too long, or there is none for this portal.",
    InvalidStateError: "That device has a passkey for you already.",
    SecurityError: "This browser does not take passkeys for this address.",
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-passkey]");
    if (!button) return;
    event.preventDefault();
    const { form } = button;
    if (!window.PublicKeyCredential) {
      say(form, "This browser has no passkeys here: they need HTTPS.");
      return;
    }
    button.disabled = true;
    try {
      await ask(button, form);
    } catch (error) {
      say(form, SENTENCES[error.name] ?? error.message);
    } finally {
      button.disabled = false;
    }
  });
})();
