// Speaks with the daemon: one request at a time, and the stream of events.
// EventSource can't send Authorization, so the stream is read with fetch.

const TOKEN = "sheave-token";

export const token = {
  read: () => sessionStorage.getItem(TOKEN) ?? "",
  keep: (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN)),
};

function fields(more = {}) {
  return token.read() ? { ...more, Authorization: `Bearer ${token.read()}` } : more;
}

/** An answer that is no success; `status` is 0 if there was none. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Asks for JSON; sends `body` by POST if there is one. */
export async function ask(path, body) {
  const sent = body === undefined
    ? { headers: fields({ Accept: "application/json" }) }
    : {
      method: "POST",
      headers: fields({ Accept: "application/json", "Content-Type": "application/json" }),
      body: JSON.stringify(body),
    };
  let answer;
  try {
    answer = await fetch(path, { ...sent, cache: "no-store" });
  } catch {
    throw new Refused(0, "sheave does not answer");
  }
  const text = await answer.text();
  let told = null;
  try {
    told = JSON.parse(text);
  } catch {
    // What it says is no JSON: shown as it is.
  }
  if (!answer.ok) {
    throw new Refused(answer.status, told?.error ?? told?.text ?? (text.trim() || `status ${answer.status}`));
  }
  return told;
}

// Events come once a second. After so long without one, the connection is dead.
const SILENCE = 5000;

/** Reads `/events` for ever. `on` has `event(text)`, `state(word, text)` and `refused(status)`. */
export function follow(on) {
  let pause = 500;
  let stop = null;
  let again = null;
  async function run() {
    clearTimeout(again);
    const ends = new AbortController();
    stop = () => ends.abort();
    let watch = setTimeout(stop, SILENCE);
    try {
      const answer = await fetch("/events", {
        headers: fields({ Accept: "text/event-stream" }), signal: ends.signal, cache: "no-store",
      });
      if (!answer.ok) {
        on.refused(answer.status);
        throw new Refused(answer.status, `status ${answer.status}`);
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(watch);
        watch = setTimeout(stop, SILENCE);
        rest += value;
        for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
          const data = rest.slice(0, end).split("\n").find((line) => line.startsWith("data: "));
          rest = rest.slice(end + 2);
          pause = 500;
          if (data) on.event(data.slice(6));
        }
      }
    } catch (error) {
      if (error instanceof SyntaxError) console.error("an event is no JSON", error);
    }
    clearTimeout(watch);
    on.state("lost", `connection lost: next try in ${Math.round(pause / 100) / 10} s`);
    again = setTimeout(run, pause);
    pause = Math.min(pause * 2, 8000);
  }
  run();
  return {
    /** Begins anew at once, for example with another token. */
    restart() {
      pause = 500;
      stop?.();
      clearTimeout(again);
      again = setTimeout(run, 0);
    },
  };
}
