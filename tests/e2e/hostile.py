"""What no client of ours sends: frames and handshakes out of a grammar, by a random generator that is passed in."""

from __future__ import annotations

import enum
import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.kernel.auth import user_hash
from tests.e2e.wire import BINARY, CLOSE, HANDSHAKE, PING, PONG, frame
from tests.tokens import mint

if TYPE_CHECKING:
    from random import Random

MAX_BYTES = 16 * 1024

_FILTER: dict[str, Any] = {
    "unread": bool,
    "notification_ids": [str],
    "categories": [str],
    "sections": [str],
    "tags": [str],
}


def _filter_at(path: str) -> dict[str, Any]:
    return {path: dict, **{f"{path}.{name}": shape for name, shape in _FILTER.items()}}


FIELDS: dict[str, dict[str, Any]] = {
    "hello": {"client_id": str, "user_id": str, "user_hash": str, "token": str, "limit": int, "cursor": str},
    "ping": {"ref": str},
    "list": {"ref": str, "limit": int, "page_token": str, "before_time": str, "view": str, **_filter_at("filter")},
    "mark": {
        "ref": str,
        "ids": [str],
        "until": dict,
        "until.time": str,
        "until.view": str,
        **_filter_at("until.filter"),
        "set": [str],
        "clear": [str],
        "reply": str,
    },
    "renew": {"ref": str, "token": str},
    "get_preferences": {"ref": str, "limit": int, "page_token": str, "scope": str},
    "patch_preferences": {
        "ref": str,
        "preferences": [dict],
        "preferences.notification_id": str,
        "preferences.channel": str,
        "preferences.sub_notification_id": str,
        "preferences.delivery_option": str,
    },
    "delete_preferences": {"ref": str, "notification_id": str, "sub_notification_id": str},
    "get_environment": {"ref": str},
    "add_web_push": {
        "ref": str,
        "subscription": dict,
        "subscription.endpoint": str,
        "subscription.keys": dict,
        "subscription.keys.p256dh": str,
        "subscription.keys.auth": str,
    },
    "remove_web_push": {"ref": str, "endpoint": str},
}
"""The fields of each frame of a client, and the shape of each; the README says the same."""


class Expected(enum.Enum):
    """What a frame may come to in a session that is open."""

    FINE = "fine"
    """It is no bad frame."""

    REFUSED = "refused"
    """It is a bad frame."""

    EITHER = "either"
    """It may be one or not."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One thing to send, and what may come of it."""

    kind: str
    data: bytes = field(repr=False)
    expected: Expected = Expected.EITHER
    ref: str = ""
    """That of the answer, where it is known."""

    frames: int = 1
    """How many frames of WebSocket it is."""

    codes: frozenset[int] = frozenset()
    """The close codes of which one must follow, without an answer; empty: it is answered once."""


@dataclass(frozen=True, slots=True)
class User:
    """Who attacks, with credentials that are right."""

    client_id: str
    secret: str = field(repr=False)
    user_id: str

    @property
    def by_hash(self) -> dict[str, Any]:
        """The credentials of a hello."""
        return {
            "client_id": self.client_id,
            "user_id": self.user_id,
            "user_hash": user_hash(self.secret, self.user_id),
        }

    def token(self, **options: Any) -> str:
        """Makes a token."""
        return mint(self.secret, self.client_id, self.user_id, **options)


@dataclass(frozen=True, slots=True)
class Literal:
    """JSON as it is written, where Python's own writer would not write it."""

    text: str
    shape: type


# Longer than Python reads a whole number, and so no JSON to us.
_UNREADABLE = Literal("9" * 5000, object)
_NUMBERS = (
    _UNREADABLE,
    *(0, -1, 1, 7, 50, 100, 101, 500, 501, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400),
    *(0.0, 1.0, 0.5, -0.0, 1e308, 5e-324),
    *(Literal(text, float) for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1E+999", "1e2", "9" * 5000 + ".0")),
)
_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "\udfff\ud800",
        "\x1b[31m",
        "\x7f",
        "\u0085",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ufffe",
    ),
    *("💥", "é" * 33, "\U0010ffff" * 40, "a" * 64, "a" * 65, "a" * 128, "a" * 129, "b" * 256, "c" * 257, "x" * 513),
    *("x" * 4096, "x" * 4097, "x" * 10_000, "💥" * 1025),
    *("null", "true", "NaN", "[]", "{}", '{"$gt": ""}', "$where", "a.b", "$", "../../etc/passwd", "' OR 1=1 --", "%00"),
    *("a:b", "a:b:c", ":", "INBOX", "ARCHIVE", "ALL", "all", "SEEN", "UNSPECIFIED", "ON", "OFF", "RECEIVED", "EMAIL"),
    *("order_tracking", "order_tracking.", "AAAA", "====", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "..", "W10", "W1tdXQ"),
    *("2026-01-02T03:04:05.678Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z"),
    *("9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59.999Z", "2026-01-02", "2026-W01-1T00Z", "20260102T030405Z"),
    *("2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T00:00:60Z", "2026-01-02T00:00:00+23:59:59.999999"),
)
_OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [{}], [None], {"": None}, {"a": {"b": [1]}}, ["a"], [""], ["a", 1], [True]),
    *(["\ud800"], ["\0"], ["x" * 129], ["a"] * 101, ["a"] * 1001, [0] * 3000, {"$gt": ""}, {"$ne": None}),
    *([{"notification_id": "order_tracking"}], [{"delivery_option": "OFF"}], [[[[]]]], {"time": {}}, {"filter": [1]}),
)
_OPTIONS = ("OFF", "INSTANT", "ON", "DAILY")
_CHANNELS = ("EMAIL", "INAPP_WEB", "SMS", "PUSH")
_VIEWS = ("INBOX", "ARCHIVE", "ALL")
_MARKS = ("SEEN", "OPENED", "CLICKED", "ARCHIVED", "FIRST_ACTION", "SECOND_ACTION")
_REQUESTS = tuple(kind for kind in FIELDS if kind not in ("hello", "ping"))
_NOT_UTF8 = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b'{"type":"ping","ref":"\xe2\x82"}',
    b"\x80abc",
)


class Grammar:
    """Makes what one session sends.

    Args:
        random: Decides everything.
        user: Whose credentials it uses.
        known: What the gateway told before: ids of items, page tokens and cursors.
    """

    def __init__(self, random: Random, user: User, known: list[str]) -> None:
        self._random = random
        self._user = user
        self._known = known
        self._count = 0

    def hello(self) -> Shot:
        """Opens a session, by the hash or by a token."""
        return self._fine(self._valid("hello"), kind="hello")

    def request(self) -> Shot:
        """Asks for something, or pings, as a client of ours would."""
        return self._fine(self._valid(self._random.choice(("ping", "ping", *_REQUESTS))))

    def hello_of_any_shape(self) -> Shot:
        """Says hello with a field that is wrong, or with credentials that are."""
        return self._of_any_shape("hello") if self._random.random() < 0.7 else self._wrong_credentials()

    def shot(self) -> Shot:
        """Makes anything for an open session."""
        make = self._random.choices(
            (
                self.request,
                lambda: self._of_any_shape(self._random.choice((*_REQUESTS, "ping"))),
                self._broken_text,
                self._random_text,
                self._binary,
                self._deep,
                self._no_object,
                self._unknown,
                self._repeated_keys,
                self._second_hello,
                self._other_token,
                self._in_fragments,
                self._beside_control_frames,
                self._as_large_as_may_be,
                self.end,
            ),
            weights=(36, 30, 4, 2, 2, 2, 2, 2, 3, 1, 2, 4, 3, 2, 2),
        )[0]
        return make()

    def end(self) -> Shot:
        """Breaks the rules of WebSocket, or closes."""
        random, text = self._random, self._ping()
        code = random.choice((1000, 1001, 1003, 1014, 3000, 3999, 4999))
        bad = random.choice((0, 1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535))
        breaks: list[tuple[str, bytes, int, set[int]]] = [
            ("reserved bits", frame(text, rsv=random.randrange(1, 8)), 1, {1002}),
            ("a reserved opcode", frame(b"", random.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))), 1, {1002}),
            ("no mask", frame(text, masked=False), 1, {1002}),
            ("a long control frame", frame(bytes(126), random.choice((CLOSE, PING, PONG))), 1, {1002}),
            ("a control frame in fragments", frame(b"", random.choice((PING, PONG)), fin=False), 1, {1002}),
            ("the rest of nothing", frame(text, 0), 1, {1002}),
            ("a message in a message", frame(b"{", fin=False) + frame(text), 2, {1002}),
            ("not UTF-8", frame(random.choice(_NOT_UTF8)), 1, {1007}),
            ("not UTF-8 in fragments", frame(b'"', fin=False) + frame(random.choice(_NOT_UTF8), 0), 2, {1007}),
            ("too large", frame(b" " * random.randrange(MAX_BYTES + 1, 2 * MAX_BYTES)), 1, {1009}),
            ("said to be huge", frame(b"{", length=random.choice((MAX_BYTES + 1, 2**32, 2**63 - 1))), 1, {1009}),
            ("said to be impossible", frame(b"{", length=2**64 - 1), 1, {1002, 1009}),
            ("too large in fragments", frame(b" ", fin=False) + 17 * frame(b" " * 1000, 0, fin=False), 18, {1009}),
            ("half a close code", frame(b"\x03", CLOSE), 1, {1002}),
            ("no close code that is", frame(bad.to_bytes(2, "big"), CLOSE), 1, {1002}),
            ("a close that is not UTF-8", frame(b"\x03\xe8\xff", CLOSE), 1, {1002, 1007}),
            ("a close", frame(code.to_bytes(2, "big") + b"bye", CLOSE), 1, {code}),
            ("a close without a code", frame(b"", CLOSE), 1, {1000, 1005}),
        ]
        kind, data, frames, codes = random.choice(breaks)
        return Shot(kind, data, frames=frames, codes=frozenset(codes))

    def unfinished(self) -> bytes:
        """Makes the beginning of something."""
        whole = self.shot().data
        return whole[: self._random.randrange(len(whole))]

    def handshake(self) -> tuple[str, bytes]:
        """Makes a request that is no handshake, or hardly one."""
        random = self._random
        line, *headers = HANDSHAKE.removesuffix(b"\r\n\r\n").split(b"\r\n")
        junk = bytes(random.choices(range(256), k=random.randrange(1, 300)))

        def request(line: bytes, *headers: bytes) -> bytes:
            return b"\r\n".join((line, *headers, b"", b""))

        without = random.randrange(len(headers))
        targets = (
            b"/",
            b"//[",
            b"//[/v1/inbox",
            b"//a]b",
            b"http://[x/v1/inbox",
            b"*",
            b"/v1/inbox/",
            b"/v1/inbox?%ff",
            *(b"/healthz", b"/\xff", b"/v1/inbox#", b"/" + b"a" * 9000, b"http://x/v1/inbox", b"", b"/v1/%69nbox"),
        )
        given = (
            ("another path", request(b"GET " + random.choice(targets) + b" HTTP/1.1", *headers)),
            ("another method", request(line.replace(b"GET", random.choice((b"POST", b"get", b"", b"\0"))), *headers)),
            (
                "another version",
                request(line.replace(b"1.1", random.choice((b"1.0", b"2.0", b"", b"9" * 99))), *headers),
            ),
            ("a header less", request(line, *headers[:without], *headers[without + 1 :])),
            ("a header twice", request(line, *headers, headers[without])),
            (
                "a header changed",
                request(line, *headers[:without], headers[without] + junk[:9], *headers[without + 1 :]),
            ),
            (
                "another subprotocol",
                request(line, *headers[:-1], b"Sec-WebSocket-Protocol: " + random.choice((b"", b",", b"x"))),
            ),
            ("a header without a name", request(line, *headers, b": x")),
            ("a header with anything", request(line, *headers, b"X-Any: " + junk)),
            ("a long header", request(line, *headers, b"X-Long: " + b"x" * 9000)),
            ("many headers", request(line, *headers, *[b"X: y"] * 200)),
            ("a body", request(line, *headers, b"Content-Length: 9") + b"x" * 9),
            ("a chunked body", request(line, *headers, b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
            (
                "an extension",
                request(line, *headers, b"Sec-WebSocket-Extensions: " + random.choice((b"permessage-deflate", b";="))),
            ),
            ("plain lines", HANDSHAKE.replace(b"\r\n", b"\n")),
            ("anything", junk),
            ("anything and an end", junk + b"\r\n\r\n"),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + junk),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("the beginning of one", HANDSHAKE[: random.randrange(len(HANDSHAKE) - 1)]),
        )
        kind, data = random.choice(given)
        return f"handshake: {kind}", data

    def _valid(self, kind: str) -> dict[str, Any]:
        random = self._random
        body: dict[str, Any] = {"type": kind, "ref": self._ref()}
        match kind:
            case "hello":
                del body["ref"]
                body |= self._user.by_hash if random.random() < 0.5 else {"token": self._user.token()}
                body["limit"] = random.randrange(1, 4)
                if random.random() < 0.3:
                    body["cursor"] = self._any_known()
            case "ping":
                if random.random() < 0.2:
                    del body["ref"]
            case "list":
                body |= {"limit": random.randrange(1, 6), "filter": self._narrowed()}
                body |= random.choice(({}, {"view": random.choice(_VIEWS)}, {"page_token": self._any_known()}))
                if random.random() < 0.3:
                    body["before_time"] = self._time()
            case "mark":
                selected = {"ids": [self._any_known() for _ in range(random.randrange(1, 4))]}
                until = {"until": {"time": self._time(), "view": random.choice(_VIEWS), "filter": self._narrowed()}}
                body |= selected if random.random() < 0.7 else until
                body |= {random.choice(("set", "clear")): random.sample(_MARKS, random.randrange(1, 3))}
                if random.random() < 0.1:
                    body["reply"] = random.choice(("thanks", "💥" * 1024))
            case "renew":
                body["token"] = self._user.token(ttl=timedelta(hours=random.randrange(1, 24)))
            case "get_preferences":
                body |= {"limit": random.randrange(1, 6), "scope": "ALL"}
                if random.random() < 0.3:
                    body["page_token"] = self._any_known()
            case "patch_preferences":
                body["preferences"] = [self._preference() for _ in range(random.randrange(1, 4))]
            case "delete_preferences":
                body["notification_id"] = random.choice(("order_tracking", "new_order", "nothing", self._any_known()))
            case "add_web_push":
                body["subscription"] = self._subscription()
            case "remove_web_push":
                body["endpoint"] = self._subscription()["endpoint"]
        return body

    def _subscription(self) -> dict[str, Any]:
        keys = {"p256dh": self._random.choice(("BA" + "A" * 85, "short")), "auth": "A" * 22}
        return {"endpoint": f"https://push.example.com/{self._random.randrange(99)}", "keys": keys}

    def _of_any_shape(self, kind: str) -> Shot:
        body = self._valid(kind)
        path = self._random.choice(list(FIELDS[kind]))
        value = self._value()
        root, _, rest = path.partition(".")
        # Both are refused, whatever they hold.
        body.pop({"ids": "until", "until": "ids"}.get(root, ""), None)
        if rest:
            inner: dict[str, Any] = {"time": "2026-01-02T03:04:05Z"} if root == "until" else {}
            inner |= self._preference() if root == "preferences" else {}
            inner |= self._subscription() if root == "subscription" else {}
            parent, _, leaf = rest.rpartition(".")
            if parent:
                inner[parent] = {leaf: value}
            else:
                inner[leaf] = value
            body[root] = [inner] if root == "preferences" else inner
        else:
            body[root] = value

        wrong = _is_wrong(value, FIELDS[kind][path])
        ref = body.get("ref", "") if path != "ref" and wrong and value is not _UNREADABLE else ""
        name = "wrong shape" if wrong else "any value"
        return self._text(
            _write(body, self._random), f"{kind}: {name}", Expected.REFUSED if wrong else Expected.EITHER, ref
        )

    def _wrong_credentials(self) -> Shot:
        now = datetime.now(UTC)
        user, random = self._user, self._random
        token = user.token()
        changes: tuple[dict[str, Any], ...] = (
            user.by_hash | {"user_hash": "AAAA"},
            user.by_hash | {"client_id": "nobody"},
            user.by_hash | {"user_id": random.choice(_TEXTS)},
            {"token": token[:-4] + "AAAA"},
            {"token": user.token(now=now - timedelta(days=2))},
            {"token": user.token(now=now + timedelta(days=2))},
            {"token": user.token(ttl=timedelta(days=400_000))},
            {"token": user.token(sub=random.choice(_TEXTS))},
            {"token": user.token(aud=random.choice((["x"], "\0", "x:y", user.client_id + " ")))},
            {"token": user.token(nbf=random.choice((1e300, -1, "x", True)))},
            {"token": user.token(kid=random.choice(_TEXTS[:20]))},
            {"token": token, "cursor": random.choice(_TEXTS)},
        )
        return self._text(_write({"type": "hello"} | random.choice(changes), random), "hello: wrong credentials")

    def _other_token(self) -> Shot:
        other = replace(self._user, user_id="somebody else")
        token = self._random.choice(
            (
                other.token(),
                self._user.token(now=datetime.now(UTC) - timedelta(days=2)),
                self._user.token()[:-4] + "AAAA",
                self._user.token(sub="\ud800"),
                self._user.token(kid="\n"),
            )
        )
        return self._text(
            _write({"type": "renew", "ref": self._ref(), "token": token}, self._random), "renew: another token"
        )

    def _broken_text(self) -> Shot:
        text = _write(self._valid(self._random.choice(_REQUESTS)), self._random)
        place = self._random.randrange(1, len(text))
        broken, expected = self._random.choice(
            (
                (text[:place], Expected.REFUSED),
                (text + text, Expected.REFUSED),
                (text + "}", Expected.REFUSED),
                (text[:-1] + ",}", Expected.REFUSED),
                ("\ufeff" + text, Expected.REFUSED),
                (text.replace('"', "'"), Expected.REFUSED),
                (text + "//", Expected.REFUSED),
                (text[:place] + text[place + 1 :], Expected.EITHER),
                (text[:place] + chr(self._random.randrange(0xD800)) + text[place:], Expected.EITHER),
                (f"\t{text}\r\n ", Expected.FINE),
            )
        )
        return self._text(broken, "broken text", expected)

    def _random_text(self) -> Shot:
        random = self._random
        ranges = random.choice(((32, 127), (0, 32), (0, 0x800), (0xE000, 0x10FFFF)))
        text = "".join(chr(random.randrange(*ranges)) for _ in range(random.randrange(200)))
        return self._text(text, "any text", Expected.REFUSED)

    def _binary(self) -> Shot:
        junk = bytes(self._random.choices(range(256), k=self._random.randrange(300)))
        return Shot("binary", frame(self._random.choice((junk, self._ping(), b"")), BINARY), Expected.REFUSED)

    def _deep(self) -> Shot:
        depth = self._random.choice((10, 500, 900, 1000, 1100, 2000, 5000, 8000))
        opening, closing, inner = self._random.choice((("[", "]", ""), ('{"":', "}", "1")))
        depth = min(depth, (MAX_BYTES - 200) // len(opening + closing))
        nested = opening * depth + inner + closing * depth
        return self._random.choice(
            (
                self._text(opening * depth, "deep", Expected.REFUSED),
                self._text(f'{{"type":"list","ref":{nested}}}', "deep", Expected.REFUSED),
                self._text(f'{{"type":"list","ref":"1","filter":{{"tags":{nested}}}}}', "deep"),
                self._text(f'{{"x":{nested},"type":"ping"}}', "deep"),
            )
        )

    def _no_object(self) -> Shot:
        value = self._random.choice((*_TEXTS[:20], *_NUMBERS, *_OTHERS))
        return self._text(_write(value, self._random), "no object of a type", Expected.REFUSED)

    def _unknown(self) -> Shot:
        kind = self._random.choice((*_TEXTS, *_NUMBERS, *_OTHERS, "HELLO", "welcome", "created", "error", "Ping"))
        ref = self._ref()
        return self._text(_write({"type": kind, "ref": ref}, self._random), "unknown type", Expected.REFUSED)

    def _repeated_keys(self) -> Shot:
        """The last one holds; fields that are not known are passed over."""
        body = self._valid(self._random.choice(_REQUESTS))
        before = _write({"type": 5, "ref": [], "x": self._value(), "": {}}, self._random)
        text = before[:-1] + "," + _write(body, self._random)[1:]
        # What is passed over is read all the same.
        return self._text(text, "keys twice", Expected.EITHER)

    def _second_hello(self) -> Shot:
        return self._text(_write(self._valid("hello"), self._random), "second hello", Expected.REFUSED)

    def _in_fragments(self) -> Shot:
        body = self._valid(self._random.choice(("ping", *_REQUESTS)))
        text = _write(body, self._random).encode()
        cuts = sorted(self._random.randrange(len(text) + 1) for _ in range(self._random.randrange(1, 9)))
        parts = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        sent = [
            frame(part, 0 if number else 1, fin=number == len(cuts))
            + (frame(b"x", PING) if number < len(cuts) else b"")
            for number, part in enumerate(parts)
        ]
        return Shot("in fragments", b"".join(sent), Expected.FINE, ref=body.get("ref", ""), frames=2 * len(parts) - 1)

    def _beside_control_frames(self) -> Shot:
        body = self._valid("ping")
        count = self._random.randrange(1, 20)
        controls = [frame(bytes(self._random.randrange(126)), self._random.choice((PING, PONG))) for _ in range(count)]
        data = b"".join(controls) + frame(json.dumps(body).encode())
        return Shot("beside control frames", data, Expected.FINE, ref=body.get("ref", ""), frames=count + 1)

    def _as_large_as_may_be(self) -> Shot:
        body = self._valid(self._random.choice(_REQUESTS))
        text = json.dumps(body)
        return self._text(text.ljust(MAX_BYTES), "as large as may be", Expected.FINE, body.get("ref", ""))

    def _fine(self, body: dict[str, Any], *, kind: str = "") -> Shot:
        shot = self._text(_write(body, self._random), kind or f"{body['type']}: valid", Expected.FINE)
        return replace(shot, ref=body.get("ref", ""))

    def _text(self, text: str, kind: str, expected: Expected = Expected.EITHER, ref: str = "") -> Shot:
        data = text.encode()
        if len(data) > MAX_BYTES:
            return Shot(f"{kind}, too large", frame(data), codes=frozenset({1009}))
        return Shot(kind, frame(data), expected, ref)

    def _ping(self) -> bytes:
        return json.dumps(self._valid("ping")).encode()

    def _ref(self) -> str:
        self._count += 1
        return self._random.choice(("", "é", "x" * 50)) + str(self._count)

    def _value(self) -> Any:
        pool = self._random.choice((_NUMBERS, _TEXTS, _TEXTS, _OTHERS))
        return self._random.choice(pool)

    def _any_known(self) -> str:
        made = str(uuid.UUID(int=self._random.getrandbits(128)))
        return self._random.choice(self._known[-200:]) if self._known and self._random.random() < 0.8 else made

    def _time(self) -> str:
        days = self._random.randrange(-700_000, 2_900_000) if self._random.random() < 0.3 else 0
        return (datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=days)).isoformat()

    def _narrowed(self) -> dict[str, Any]:
        chosen = {
            "unread": self._random.choice((True, False)),
            "notification_ids": ["order_tracking"],
            "categories": ["orders"],
            "sections": ["orders", "\0"],
            "tags": ["a", "$b"],
        }
        return {name: chosen[name] for name in self._random.sample(list(chosen), self._random.randrange(3))}

    def _preference(self) -> dict[str, Any]:
        return {
            "notification_id": self._random.choice(("order_tracking", "new_order")),
            "delivery_option": self._random.choice(_OPTIONS),
            **({"channel": self._random.choice(_CHANNELS)} if self._random.random() < 0.5 else {}),
            **({"sub_notification_id": self._random.choice(("eu", "us"))} if self._random.random() < 0.3 else {}),
        }


def _is_wrong(value: Any, shape: Any) -> bool:
    """Tells whether a value is none of a field, by its shape alone; what it holds may be wrong all the same."""
    if value is None:
        return False
    if isinstance(shape, list):
        return type(value) is not list or any(type(one) is not shape[0] for one in value)
    return (value.shape if isinstance(value, Literal) else type(value)) is not shape


def _write(value: Any, random: Random) -> str:
    """Writes JSON, with text as it is or escaped."""
    match value:
        case Literal(text):
            return text
        case dict():
            return "{" + ",".join(f"{json.dumps(key)}:{_write(inner, random)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ",".join(_write(inner, random) for inner in value) + "]"
        case str() if any("\ud800" <= char <= "\udfff" for char in value):
            return json.dumps(value)
        case str():
            return json.dumps(value, ensure_ascii=random.random() < 0.5)
    return json.dumps(value)
