"""What an attacker would write: real addresses, taken apart and put together wrongly."""

from __future__ import annotations

import json

from hypothesis import strategies as st

__all__ = [
    "INSTANCE",
    "TOKEN",
    "answers",
    "bodies",
    "callback_queries",
    "content_types",
    "paths",
    "urls",
    "ways_back",
]

INSTANCE = "https://acme.my.salesforce.com"
TOKEN = "00D000000000001!FuzzedToken7Zq"

PIECES = [
    *("https://", "http://", "//", "///", "https:", "javascript:", "file://", "data:", "HTTPS://"),
    *("/", "\\", "/\\", "@", ":", "#", "?", ";", ".", "..", "%2f", "%5c", "%00", "%40", "%0d%0a"),
    *("\r\n", "\t", " ", "\x00", "\x7f", "\u2028", "\u3002", "\uff0f", "\u017f", "\u212a", "\xad", "é"),
    *(
        "acme.my.salesforce.com",
        "other.my.salesforce.com",
        "login.salesforce.com",
        "evil.example",
        "evilsalesforce.com",
    ),
    *("acme--uat.sandbox.my.salesforce.com", ".salesforce.com", "xn--salesforce", "[::1]", "127.0.0.1", "0x7f.1"),
    *(":443", ":8443", ":0443", ":99999", "user", "user:pw@", "crm.example.com"),
    *("services/data/v66.0/query", "/services/data/v66.0/query/01g-2000", "?q=SELECT+Id", "/id/00D000000000001"),
]
pieces = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
ways_back = st.one_of(pieces.map("/{}".format), pieces.map("https://crm.example.com/{}".format), pieces)
urls = st.one_of(pieces, pieces.map(lambda rest: f"{INSTANCE}{rest}"), pieces.map("https://{}".format), st.text())
paths = st.one_of(pieces, pieces.map("/{}".format), pieces.map(lambda rest: f"{INSTANCE}{rest}"), st.text())

words = st.sampled_from(
    ["", "null", "00D000000000001!a", "00D000000000002!a", "e30.eyJleHAiOiAxZTk5fQ.e30", "\ud800"]
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), words, urls)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=4
)
MEMBERS = [
    *("access_token", "refresh_token", "instance_url", "id", "issued_at", "signature", "scope", "token_type"),
    *("expires_in", "error", "error_description", "id_token", "token_format", "sfdc_community_url"),
]
answers = st.dictionaries(st.sampled_from(MEMBERS), values, max_size=8)
KINDS = [
    *("application/json", "application/json;charset=UTF-8", "text/html", "application/xml", "", "\x00"),
    *("application/x-www-form-urlencoded", "text/plain", "APPLICATION/JSON; charset=utf-16"),
]
content_types = st.sampled_from(KINDS)
xml = st.sampled_from(
    ["<OAuth><access_token>a</access_token></OAuth>", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "<a"]
)
good = answers.map(lambda answer: {**answer, "access_token": TOKEN, "refresh_token": TOKEN, "error": ""})
bodies = st.one_of(
    good.map(lambda answer: json.dumps(answer).encode()),
    answers.map(lambda answer: json.dumps(answer).encode()),
    answers.map(lambda answer: json.dumps(answer).encode()[:-1]),
    st.lists(st.tuples(st.sampled_from(MEMBERS), pieces), max_size=5).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
    ),
    xml.map(str.encode),
    st.binary(max_size=200),
)

NAMES = ["code", "state", "error", "error_description", "Code", "state[]", "", "code%00"]
callback_values = st.one_of(pieces, st.text(max_size=30), st.just("x" * 3000), st.just("%ff%fe"), st.just("%00"))
mixed = st.lists(st.tuples(st.sampled_from(NAMES), callback_values), max_size=6).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
plain = st.text(st.characters(min_codepoint=48, max_codepoint=122), min_size=1, max_size=20)
callback_queries = st.one_of(
    mixed,
    st.builds("code={}&state={}".format, plain, plain),
    st.builds("error={}&error_description={}&state={}".format, plain, callback_values, plain),
    st.builds("code={}&state={}&{}".format, plain, plain, mixed),
)
