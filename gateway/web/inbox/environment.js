// @ts-check
// What a client's environment is: asked once, as it hardly changes, and a gateway that does not know is not asked again.

/**
 * @typedef {import("../carillon.js").CarillonClient} CarillonClient
 * @typedef {import("../carillon-types.js").Environment} Environment
 */

/** @type {WeakMap<CarillonClient, Promise<Environment>>} */
const known = new WeakMap();

// After these it may answer yet.
const PASSING = ["NOT_CONNECTED", "UNAVAILABLE", "TOO_MANY_REQUESTS"];

/**
 * Gives the environment; empty where it is not known.
 *
 * @param {CarillonClient} client
 * @returns {Promise<Environment>}
 */
export function environmentOf(client) {
  const asked =
    known.get(client) ??
    client.getEnvironment().catch((error) => {
      if (PASSING.includes(error?.code)) known.delete(client);
      return {};
    });
  known.set(client, asked);
  return asked;
}
