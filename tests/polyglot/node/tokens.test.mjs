// When to come back, and when to renew.

import assert from "node:assert/strict";
import { test } from "node:test";

import { backoffMs } from "../../../gateway/web/carillon-connection.js";
import { readClaims, renewalMs } from "../../../gateway/web/carillon-tokens.js";

test("the wait is anything up to a bound, which doubles to half a minute", () => {
  const most = [0, 1, 2, 3, 4, 5, 6, 7, 50].map((failures) => backoffMs(failures, () => 1));
  assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(backoffMs(3, () => 0), 0);
  assert.equal(backoffMs(3, () => 0.25), 1000);

  const waits = Array.from({ length: 1000 }, () => backoffMs(0));
  assert.ok(waits.every((wait) => wait >= 0 && wait < 500));
  assert.ok(Math.max(...waits) > 400 && Math.min(...waits) < 100);
});

const NOW = 1_700_000_000_000;
const RENEWALS = [
  ["an hour: 90 s before", { issued: NOW, expires: NOW + 3_600_000 }, 3_510_000],
  ["ten seconds: half of it", { issued: NOW, expires: NOW + 10_000 }, 5000],
  ["nearly nothing: not at once", { issued: NOW - 60_000, expires: NOW + 100 }, 1000],
  ["a clock that is ahead: by how long it lasts", { issued: NOW - 7_200_000, expires: NOW - 3_600_000 }, 3_510_000],
  ["no end: never", { issued: NOW }, undefined],
  ["no token: never", undefined, undefined],
];

for (const [name, claims, expected] of RENEWALS) {
  test(`a token is renewed; ${name}`, () => assert.equal(renewalMs(claims, NOW), expected));
}

const encode = (value) => `h.${Buffer.from(JSON.stringify(value)).toString("base64url")}.s`;
const CLAIMS = [
  ["what it says", encode({ aud: "dev", sub: "ü:?>", iat: 1, exp: 2.5 }), { clientId: "dev", userId: "ü:?>", issued: 1000, expires: 2500 }],
  ["an audience in a list", encode({ aud: ["dev"], sub: "u" }), { clientId: "dev", userId: "u", issued: undefined, expires: undefined }],
  ["no user", encode({ aud: "dev" }), undefined],
  ["no JSON", "h.bm8.s", undefined],
  ["no parts", "token", undefined],
  ["nothing", "", undefined],
];

for (const [name, token, expected] of CLAIMS) {
  test(`a token is read; ${name}`, () => assert.deepEqual(readClaims(token), expected));
}
