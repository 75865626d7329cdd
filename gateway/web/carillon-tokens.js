// @ts-check
// User tokens, as far as a client has to know them: whose they are, when to have a new one, and where from.

// A timer that fires late, as in a tab in the background, should still be in time.
const MARGIN_MS = 90_000;

/**
 * @typedef {{ clientId: string, userId: string, issued?: number, expires?: number }} Claims Times are in ms.
 * @typedef {() => string | Promise<string>} OnTokenNeeded
 */

/** The token that is used now, and the page's way to the next. */
export class Tokens {
  #token;
  #onTokenNeeded;

  /** @param {string | undefined} token @param {OnTokenNeeded | undefined} onTokenNeeded */
  constructor(token, onTokenNeeded) {
    this.#token = token;
    this.#onTokenNeeded = onTokenNeeded;
  }

  /** "" where there is none. */
  get token() {
    return this.#token ?? "";
  }

  get isUsed() {
    return Boolean(this.#token || this.#onTokenNeeded);
  }

  get canAsk() {
    return Boolean(this.#onTokenNeeded);
  }

  /**
   * Gives the token, or a new one where there is none that may be good; "": nobody is signed in.
   * @param {number} now
   */
  async get(now) {
    const expires = this.#token && readClaims(this.#token)?.expires;
    if (!this.#token || (this.canAsk && expires && expires <= now)) await this.ask();
    return this.token;
  }

  /** Has the page make a new one; raises what the page raises. */
  async ask() {
    this.#token = (await this.#onTokenNeeded?.()) || undefined;
    return this.token;
  }

  /** Drops the token, as it is over. */
  forget() {
    this.#token = undefined;
  }

  /** How long from now, in ms, until a new one is due; undefined: never. @param {number} now */
  renewalMs(now) {
    return this.canAsk && this.#token ? renewalMs(readClaims(this.#token), now) : undefined;
  }
}

/**
 * Tells when to renew a token that the gateway has just taken.
 * @param {Claims | undefined} claims
 * @param {number} now
 */
export function renewalMs(claims, now) {
  if (!claims?.expires) return undefined;
  let left = claims.expires - now;
  // It was taken, so it is this clock that is wrong. How long it lasts is right anyway.
  if (left <= 0) left = claims.expires - (claims.issued ?? claims.expires);
  return Math.max(left - MARGIN_MS, left / 2, 1000);
}

/**
 * Reads what a token says, without a check; undefined: it is none.
 * @param {string} token
 * @returns {Claims | undefined}
 */
export function readClaims(token) {
  try {
    const base64 = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0));
    const { aud: audience, sub, iat, exp } = JSON.parse(new TextDecoder().decode(bytes));
    const [aud] = [audience].flat();
    if (typeof aud !== "string" || typeof sub !== "string") return undefined;
    return { clientId: aud, userId: sub, issued: milliseconds(iat), expires: milliseconds(exp) };
  } catch {
    return undefined;
  }
}

/** @param {unknown} seconds */
const milliseconds = (seconds) => (typeof seconds === "number" ? seconds * 1000 : undefined);
