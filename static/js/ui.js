"use strict";
// What every page needs: the reader's display choices, dialogs, toasts, tabs, folded columns, single keys.
(() => {
  const root = document.documentElement;
  root.classList.replace("no-js", "js");

  const text = (name) => document.body.dataset["text" + name] || "";

  // Choices live in cookies, so the server already renders the next page as chosen and nothing flashes.
  const VALUES = { theme: ["light", "dark"], unit: ["token"], up: ["red", "green"], density: ["dense"], keys: ["off"] };
  function choose(name, value) {
    if (!VALUES[name] || (value && !VALUES[name].includes(value))) return;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `${name}=${value}; path=/; samesite=lax${secure}; max-age=${value ? 31536000 : 0}`;
    if (value) root.dataset[name] = value;
    else delete root.dataset[name];
    document.dispatchEvent(new CustomEvent("ui:preference", { detail: { name, value } }));
  }

  document.addEventListener("change", (event) => {
    const control = event.target;
    if (control.dataset.preference) choose(control.dataset.preference, control.value);
    const radios = control.closest("[data-preference-radios]");
    if (radios) choose(radios.dataset.preferenceRadios, control.value);
  });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open-dialog]");
    if (opener) document.getElementById(opener.dataset.openDialog)?.showModal();

    const filler = event.target.closest("[data-fill]");
    if (filler) fill(document.getElementById(filler.dataset.fill), filler.dataset.value);

    event.target.closest("[data-close-toast]")?.closest(".toast").remove();

    const tab = event.target.closest("[data-tabs] [role=tab]");
    if (tab) select(tab);

    const fold = event.target.closest(".fold-button");
    if (fold) toggleFold(fold);

    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
  });

  function fill(input, value) {
    if (!input) return;
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.focus();
  }

  async function copy(button) {
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      // Without a secure context there is no clipboard API; selecting still lets the reader press Ctrl+C.
      const input = button.parentElement.querySelector("input");
      input?.select();
      if (!input || !document.execCommand("copy")) return;
    }
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  function select(tab) {
    for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  }

  // A money form is sent once; the idempotency key in it guards what this cannot.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-once]")) return;
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "yes";
    for (const button of event.target.querySelectorAll("[type=submit]")) button.setAttribute("aria-disabled", "true");
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("[data-once][data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("[type=submit]")) button.removeAttribute("aria-disabled");
    }
  });

  // Narrow tables: columns marked .fold move into a row of their own, opened by a button.
  function addFolds(table) {
    if (table.classList.contains("has-folds")) return;
    const head = table.tHead?.rows[0];
    if (!head?.querySelector(".fold")) return;
    table.classList.add("has-folds");
    const corner = document.createElement("th");
    corner.className = "fold-button-cell";
    corner.scope = "col";
    corner.innerHTML = '<span class="visually-hidden"></span>';
    corner.firstChild.textContent = text("Details");
    head.append(corner);
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        if (!row.querySelector(".fold")) continue;
        const cell = row.insertCell();
        cell.className = "fold-button-cell";
        cell.innerHTML = '<button type="button" class="fold-button" aria-expanded="false"><svg viewBox="0 0 16 16" aria-hidden="true"><path fill="none" stroke="currentColor" stroke-width="1.5" d="m3 6 5 5 5-5"/></svg></button>';
        cell.firstChild.setAttribute("aria-label", text("Details"));
      }
    }
  }

  function toggleFold(button) {
    const row = button.closest("tr");
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) return row.nextElementSibling.remove();
    const headers = row.closest("table").tHead.rows[0].cells;
    const list = document.createElement("dl");
    list.className = "kv";
    [...row.cells].forEach((cell, index) => {
      if (!cell.classList.contains("fold")) return;
      const term = list.appendChild(document.createElement("dt"));
      term.textContent = headers[index].textContent.trim();
      const value = list.appendChild(document.createElement("dd"));
      value.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
    });
    const extra = document.createElement("tr");
    extra.className = "fold-row";
    extra.insertCell().append(list);
    extra.cells[0].colSpan = headers.length;
    row.after(extra);
  }

  const prepare = (scope) => {
    if (scope.matches?.("table.table")) addFolds(scope);
    for (const table of scope.querySelectorAll("table.table")) addFolds(table);
  };
  document.addEventListener("DOMContentLoaded", () => prepare(document));
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));

  function toast(message, requestId) {
    const list = document.querySelector(".toasts");
    const item = document.createElement("div");
    item.className = "toast error";
    const line = item.appendChild(document.createElement("p"));
    line.textContent = message;
    if (requestId) {
      line.append(document.createElement("br"), `${text("Request")} `);
      line.appendChild(document.createElement("code")).textContent = requestId;
    }
    const close = item.appendChild(document.createElement("button"));
    Object.assign(close, { type: "button", className: "close", textContent: "×" });
    close.dataset.closeToast = "";
    close.setAttribute("aria-label", text("Close"));
    while (list.children.length > 2) list.firstElementChild.remove();
    list.append(item);
  }
  document.addEventListener("htmx:responseError", (event) => {
    const reply = event.detail.xhr;
    toast(text(reply.status === 403 ? "Forbidden" : "Fault"), reply.getResponseHeader("X-Request-ID"));
  });
  // A refresh that nobody asked for fails silently: the feed's own state says that values grow old.
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (event.detail.requestConfig?.triggeringEvent?.type !== "feed:round") toast(text("Offline"));
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.matches("[role=tab]") && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const tabs = [...event.target.closest("[role=tablist]").children];
      const next = tabs[(tabs.indexOf(event.target) + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
      next.focus();
      return select(next);
    }
    if (root.dataset.keys === "off" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape") return event.target.blur?.();
    if (event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea, [contenteditable]") || document.querySelector("dialog[open]")) return;
    const act = { "/": () => document.querySelector("[data-search]")?.focus(), "?": () => document.getElementById("keys-dialog")?.showModal() }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
