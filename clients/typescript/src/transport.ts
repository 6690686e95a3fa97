// Sends requests with the key, and repeats those that got no answer or were refused for now.

import { JOINED } from "./types.js";
import type { ErrorDetail } from "./types.js";

/** Statuses that say "not now": a limit, a server that is down, and a proxy without a reader behind it. */
const LATER = [429, 502, 503, 504];
const FIRST_WAIT_MS = 100;

export interface Options {
  /** Sent as X-API-Key. */
  key?: string;
  /** Of one try. Default: 5000. */
  timeoutMs?: number;
  /** After the first try. Default: 3. */
  retries?: number;
  /** A reader that asks for a longer pause is not asked again. Default: 30000. */
  longestWaitMs?: number;
  /** Replaces the platform's `fetch`. */
  fetch?: typeof fetch;
}

/** A request that failed for good. */
export class MatchbookError extends Error {
  override readonly name = "MatchbookError";

  /**
   * status: of the last answer, null without one. detail.code: stable, see docs/reference/api.md; `no_answer` without
   * an answer. retryAfterMs: if the reader said when to try again, and that is longer than the client waits.
   */
  constructor(
    readonly status: number | null,
    readonly detail: ErrorDetail,
    readonly retryAfterMs: number | null = null,
    options?: ErrorOptions,
  ) {
    super(`${detail.code}: expected ${detail.expected}, got ${detail.got}; ${detail.hint}`, options);
  }

  get code(): string {
    return this.detail.code;
  }
}

/**
 * Holds the address and the key of one reader.
 *
 * Every request may be repeated: lists only read, and an event counts once by its `event_id`.
 */
export class Transport {
  readonly #address: string;
  readonly #options: Required<Omit<Options, "key">>;
  readonly #headers: Record<string, string>;

  constructor(address: string, { key, ...options }: Options = {}) {
    this.#address = address.replace(/\/+$/, "");
    this.#headers = { Accept: "application/json", ...(key ? { "X-API-Key": key } : {}) };
    this.#options = { timeoutMs: 5000, retries: 3, longestWaitMs: 30_000, fetch: globalThis.fetch, ...options };
  }

  /** Return the JSON of a successful answer. Throws MatchbookError. */
  protected async send<T>(method: "GET" | "POST", path: string, query: object = {}, body?: object): Promise<T> {
    const { timeoutMs, retries, longestWaitMs, fetch } = this.#options;
    const given = parameters(query).toString();
    const url = `${this.#address}${path}${given ? "?" : ""}${given}`;
    const sent: RequestInit =
      body === undefined
        ? { method, headers: this.#headers }
        : { method, headers: { ...this.#headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
    for (let tried = 0; ; tried++) {
      let pause = FIRST_WAIT_MS * 2 ** tried * (0.5 + Math.random());
      let status: number, text: string, asked: number | null;
      try {
        const answer = await fetch(url, { ...sent, redirect: "manual", signal: AbortSignal.timeout(timeoutMs) });
        [status, asked, text] = [answer.status, retryAfter(answer), await answer.text()];
        if (answer.ok) return JSON.parse(text) as T;
      } catch (error) {
        if (tried === retries) throw noAnswer(this.#address, error);
        await sleep(pause);
        continue;
      }
      if (tried === retries || !LATER.includes(status) || (asked ?? 0) > longestWaitMs) {
        throw new MatchbookError(status, detailOf(status, text), asked);
      }
      await sleep(asked ?? pause);
    }
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function parameters(query: object): URLSearchParams {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query) as [string, unknown][]) {
    const several: unknown[] = Array.isArray(value) ? value : [value];
    const joined = JOINED.includes(name) && several.length > 0 ? [several.join(",")] : several;
    for (const one of joined) if (one !== undefined && one !== null) found.append(name, String(one));
  }
  return found;
}

/** Return the pause of `Retry-After`; null without one, or if it is a date. */
function retryAfter(answer: Response): number | null {
  const said = answer.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(said) ? Number(said) * 1000 : null;
}

function detailOf(status: number, text: string): ErrorDetail {
  try {
    const { error } = JSON.parse(text) as { error: ErrorDetail };
    if (typeof error.code === "string") return error;
  } catch {
    // not the reader: a proxy, or another server
  }
  return {
    code: `http_${status}`,
    expected: "an answer of the reader",
    got: `status ${status} with ${JSON.stringify(text.slice(0, 200))}`,
    hint: "check the address, and what stands between this client and the reader",
  };
}

function noAnswer(address: string, cause: unknown): MatchbookError {
  const detail = {
    code: "no_answer",
    expected: `an answer of ${address}`,
    got: String(cause),
    hint: "start the reader, or check the address; everything may be sent again",
  };
  return new MatchbookError(null, detail, null, { cause });
}
