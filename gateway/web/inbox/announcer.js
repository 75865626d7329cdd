// @ts-check
// Tells a screen reader what is new, politely and not too often: many at once are one sentence.

const GATHER_MS = 1_000;
const FORGET_MS = 5_000;
const LONGEST = 120;

/** Says new titles in live regions. */
export class Announcer {
  #say;
  #regions;
  /** @type {string[]} */
  #titles = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {(key: string, values?: {[name: string]: string | number}) => string} say
   * @param {() => Element} regions gives the live region that can be heard now
   */
  constructor(say, regions) {
    this.#say = say;
    this.#regions = regions;
  }

  /**
   * Says that an item is new, together with those of the same second.
   *
   * @param {string} title
   */
  note(title) {
    this.#titles.push(title.slice(0, LONGEST));
    if (this.#titles.length > 1) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#speak(), GATHER_MS);
  }

  /** Says nothing more. */
  stop() {
    clearTimeout(this.#timer);
    this.#titles = [];
  }

  #speak() {
    const region = this.#regions();
    const [title] = this.#titles;
    const count = this.#titles.length;
    this.#titles = [];
    region.textContent = count === 1 ? this.#say("announceOne", { title }) : this.#say("announceMany", { count });
    // Else it would be read again by who walks through the page.
    this.#timer = setTimeout(() => (region.textContent = ""), FORGET_MS);
  }
}
