"use strict";
// Live market feed. The server sends JSON frames, each with `seq`:
//   {"type": "snapshot", "seq": 41, …}               first frame of every connection
//   {"type": "round",    "seq": 42, "prev_seq": 41, …}  any update; `halted: true|false` may come with each frame
//   {"type": "heartbeat", "seq": 42}                  every 15 s
//   {"type": "error", "code": "…"}                    what we said was refused
// A gap is filled by a snapshot that we ask for; a silence, an error or a close leads to a new connection.
// Tells the page by events on document: feed:round (detail = frame) and feed:state (detail = {state, live, age}).
(() => {
  const DELAYED_AFTER = 20; // seconds without any frame: one heartbeat missed
  const GIVE_UP_AFTER = 45;
  const SUMMARY_EVERY = 10_000;
  const LONGEST_WAIT = 30_000;

  class Feed {
    constructor(box) {
      this.box = box;
      this.label = box.querySelector("[data-feed-state]");
      this.ageLabel = box.querySelector("[data-feed-age]");
      this.pauseButton = box.querySelector("[data-feed-pause]");
      this.summary = box.querySelector("[data-feed-summary]");
      this.attempt = 0;
      this.seq = null;
      this.heardAt = null;
      this.connected = false;
      this.halted = false;
      this.paused = false;
      this.missed = null;
      this.state = "";
      this.pauseButton?.addEventListener("click", () => this.pause(!this.paused));
      this.ticker = setInterval(() => this.tick(), 1000);
      addEventListener("online", () => this.connect());
      document.addEventListener("visibilitychange", () => { if (!document.hidden) this.tick(); });
      this.connect();
    }

    text(name, n) {
      return (this.box.dataset["text" + name] || name).replace("{n}", n);
    }

    address() {
      const url = new URL(this.box.dataset.url, location.href);
      url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      if (this.box.dataset.product) url.searchParams.set("product", this.box.dataset.product);
      return url;
    }

    connect() {
      clearTimeout(this.retry);
      this.socket?.close();
      this.seq = null;
      const socket = (this.socket = new WebSocket(this.address()));
      this.openedAt = performance.now();
      socket.addEventListener("message", (event) => { if (socket === this.socket) this.receive(JSON.parse(event.data)); });
      socket.addEventListener("close", () => { if (socket === this.socket) this.reconnect(); });
    }

    // Full jitter: thousands of readers that lost one server must not come back in the same instant.
    reconnect() {
      this.connected = false;
      const ceiling = Math.min(LONGEST_WAIT, 1000 * 2 ** this.attempt);
      this.attempt += 1;
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.connect(), Math.random() * ceiling);
      const lost = this.socket;
      this.socket = null;
      lost?.close();
      this.show();
    }

    // The snapshot is the truth again; what comes before it is passed over, and silence without it ends in a new connection.
    resync() {
      this.seq = null;
      this.socket.send(JSON.stringify({ type: "resync" }));
    }

    receive(frame) {
      if (frame.type === "error") return this.reconnect();
      if (frame.type === "snapshot") this.attempt = 0;
      else if (this.seq === null) return; // nothing to build on before the snapshot
      else if ("prev_seq" in frame) {
        if (frame.seq <= this.seq) return; // already in the snapshot
        if (frame.prev_seq !== this.seq) return this.resync();
      } else if (frame.type === "heartbeat" && frame.seq !== undefined && frame.seq > this.seq) return this.resync();
      if (frame.seq !== undefined) this.seq = frame.seq;
      if (typeof frame.halted === "boolean") this.halted = frame.halted;
      this.connected = true;
      this.heardAt = performance.now();
      if (frame.type !== "heartbeat") this.publish(frame);
      this.show();
    }

    publish(frame) {
      if (this.paused) { this.missed = frame; return; }
      this.shownAt = performance.now();
      document.dispatchEvent(new CustomEvent("feed:round", { detail: frame }));
      // The page's fragments arrive a little later; their sentence is read out at most every ten seconds.
      if (!this.speaking) this.speaking = setTimeout(() => { this.speaking = null; this.speak(); }, SUMMARY_EVERY);
    }

    speak() {
      const sentence = document.querySelector("[data-live-summary]");
      if (sentence && this.summary && !this.paused) this.summary.textContent = sentence.textContent.trim();
    }

    pause(paused) {
      this.paused = paused;
      this.pauseButton.setAttribute("aria-pressed", String(paused));
      this.pauseButton.textContent = this.text(paused ? "Resume" : "Pause");
      if (!paused && this.missed) {
        const frame = this.missed;
        this.missed = null;
        this.publish(frame);
      }
      this.show();
    }

    tick() {
      const silent = (performance.now() - (this.connected ? this.heardAt : this.openedAt)) / 1000;
      if (silent > GIVE_UP_AFTER && this.socket) this.reconnect();
      else this.show();
    }

    show() {
      const silent = this.heardAt === null ? null : Math.floor((performance.now() - this.heardAt) / 1000);
      const age = this.shownAt === undefined ? null : Math.floor((performance.now() - this.shownAt) / 1000);
      let state = "live";
      if (!this.connected) state = "reconnecting";
      else if (this.halted) state = "halted";
      else if (silent > DELAYED_AFTER) state = "delayed";
      const words = { live: this.text(this.paused ? "Paused" : "Live"), delayed: this.text("Delayed", silent), reconnecting: this.text("Reconnecting"), halted: this.text("Halted") };
      const tones = { live: this.paused ? "idle" : "live", delayed: "warn", reconnecting: "warn", halted: "bad" };
      this.label.textContent = words[state];
      this.label.className = `chip ${tones[state]}`;
      if (this.ageLabel) this.ageLabel.textContent = age === null ? "" : this.text("Age", age);
      if (state !== this.state) {
        this.state = state;
        document.dispatchEvent(new CustomEvent("feed:state", { detail: { state, live: state === "live", age } }));
      }
    }
  }

  for (const box of document.querySelectorAll("[data-feed]")) new Feed(box);
})();
