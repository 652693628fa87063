// Renews what says `data-renew`, every two seconds while somebody can see it. Without this file pages work as well.
"use strict";
(() => {
  const part = document.querySelector("[data-renew]");
  if (!part) return;
  const state = document.querySelector("[data-renewed]");
  let asking = false;
  const say = (text) => { if (state) state.textContent = text; };
  async function renew() {
    // Whoever is about to press a button in it, or has opened one, must not have it taken from under the hand.
    const busy = part.contains(document.activeElement) || part.querySelector("details[open]");
    if (document.hidden || asking || busy) return;
    asking = true;
    try {
      const answer = await fetch(part.dataset.renew, { credentials: "same-origin", signal: AbortSignal.timeout(8000) });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) {
        const made = new DOMParser().parseFromString(await answer.text(), "text/html");
        const now = part.querySelector("[data-live]"), next = made.querySelector("[data-live]");
        if (now && next) now.replaceWith(document.adoptNode(next));
        say("live");
      } else say("cannot be read; trying again");
    } catch { say("no answer; trying again"); } finally { asking = false; }
  }
  say("live");
  setInterval(renew, 2000);
  document.addEventListener("visibilitychange", renew);
})();
