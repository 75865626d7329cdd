// Calls the functions of the SDK that the argument names as the lines on standard input say, and writes what became of
// each to standard output.

import { createInterface } from "node:readline";
import { runInThisContext } from "node:vm";

const sdk = await import(process.argv[2]);
// Older ones are CommonJS, whose default export is one further in.
const notificationapi = sdk.default.default ?? sdk.default;
// What the documented examples name.
Object.assign(globalThis, { notificationapi, PushProviders: sdk.PushProviders });

let printed = [];
console.log = (...values) => printed.push(values.map(String).join(" "));
console.error = console.log;

for await (const line of createInterface({ input: process.stdin })) {
  const { name, values, source } = JSON.parse(line);
  printed = [];
  const told = {};
  try {
    const answer = await (source ? runInThisContext(source) : notificationapi[name](...values));
    Object.assign(told, { status: answer?.status, data: answer?.data });
  } catch (error) {
    Object.assign(told, { thrown: String(error), status: error.response?.status, data: error.response?.data });
  }
  process.stdout.write(`${JSON.stringify({ ...told, printed })}\n`);
}
