"use strict";
// The ticket: a level of the ladder fills the price, b and s choose the side, and nothing is placed on old prices.
(() => {
  const ticket = () => document.querySelector("[data-ticket]");
  const sheet = () => document.getElementById("ticket");
  const narrow = matchMedia("(max-width: 767px)");
  let live = !document.querySelector("[data-feed]");

  function open() {
    if (narrow.matches && sheet()?.popover && !sheet().matches(":popover-open")) sheet().showPopover();
  }
  narrow.addEventListener("change", () => { if (!narrow.matches && sheet()?.matches(":popover-open")) sheet().hidePopover(); });

  function put(input, value) {
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  document.addEventListener("click", (event) => {
    const level = event.target.closest("[data-level-price]");
    const price = level && ticket()?.querySelector("[data-ticket-price]");
    if (!price) return;
    put(price, level.dataset.levelPrice);
    open();
    price.focus();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && narrow.matches && sheet()?.matches(":popover-open")) return sheet().hidePopover();
    if (document.documentElement.dataset.keys === "off" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea") || document.querySelector("dialog[open]")) return;
    const side = { b: "buy", s: "sell" }[event.key];
    const choice = side && ticket()?.querySelector(`input[name=side][value=${side}]`);
    if (!choice) return;
    event.preventDefault();
    open();
    if (!choice.checked) choice.click();
    choice.focus();
  });

  // The ticket is long: after each step its first fault, else its top, is in view, and has the focus.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "ticket-body") return;
    const fault = event.target.querySelector("[aria-invalid=true], .error");
    if (fault) {
      fault.scrollIntoView({ block: "center" });
      if (fault.matches("input, select")) fault.focus({ preventScroll: true });
    } else if (event.target.getBoundingClientRect().top < 0) (sheet() ?? event.target).scrollIntoView();
    if (sheet()?.matches(":popover-open") && !fault) sheet().scrollTop = 0;
    if (!fault) event.target.querySelector("[data-step]")?.focus({ preventScroll: true });
  });

  function guard() {
    for (const button of document.querySelectorAll("[data-requires-live]")) button.disabled = !live;
    for (const reason of document.querySelectorAll("[data-not-live-reason]")) reason.hidden = live;
  }
  document.addEventListener("feed:state", (event) => { live = event.detail.live; guard(); });
  document.addEventListener("htmx:load", guard);
  guard();
})();
