// @ts-check
// How long ago something was, in the words of a language; the date where that says more.

/** @type {[Intl.RelativeTimeFormatUnit, number][]} The largest first, with their seconds. */
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
const DATES_AFTER_S = 7 * 86_400;

/** Says times in one language. */
export class RelativeTimes {
  #relative;
  #sameYear;
  #otherYear;
  #full;

  /** @param {string} language */
  constructor(language) {
    this.#relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "narrow" });
    this.#sameYear = new Intl.DateTimeFormat(language, { month: "short", day: "numeric" });
    this.#otherYear = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
    this.#full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
  }

  /**
   * Says when it was, seen from `now`. What a fast clock dates into the future is now.
   *
   * @param {Date} date
   * @param {number} now in milliseconds
   */
  say(date, now) {
    const seconds = Math.max(0, (now - date.getTime()) / 1000);
    if (seconds >= DATES_AFTER_S) {
      const isThisYear = date.getFullYear() === new Date(now).getFullYear();
      return (isThisYear ? this.#sameYear : this.#otherYear).format(date);
    }
    const unit = UNITS.find(([, size]) => seconds >= size);
    // With "auto" and 0 it is the language's word for now.
    return unit ? this.#relative.format(-Math.floor(seconds / unit[1]), unit[0]) : this.#relative.format(0, "second");
  }

  /**
   * Says it exactly.
   *
   * @param {Date} date
   */
  sayFully(date) {
    return this.#full.format(date);
  }
}
