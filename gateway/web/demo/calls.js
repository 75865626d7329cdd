// @ts-check
// What the demo page asks the gateway's HTTP side for.

/**
 * Asks, or sends where there is a body; raises what went wrong in words for a person.
 *
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
export async function call(path, body) {
  const request = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, request).catch(() => {
    throw new Error("Carillon does not answer. Is it still running?");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.error.message}. ${answer.error.fix}`);
  return answer;
}
