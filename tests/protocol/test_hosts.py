from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from django_sf_oauth.protocol.hosts import (
    DEFAULT_HOST_SUFFIXES,
    _origin,
    host_of,
    is_login_host,
    is_sandbox_url,
    is_trusted_url,
    join_instance_url,
    origin_of,
    same_origin,
)

INSTANCE = "https://acme.my.salesforce.com"
LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")

# Each of these is read differently by different libraries, or leads away from Salesforce.
HOSTILE = {
    "empty": "",
    "no scheme": "acme.my.salesforce.com",
    "scheme-relative": "//acme.my.salesforce.com",
    "javascript": "javascript://acme.my.salesforce.com/%0aalert(1)",
    "ftp": "ftp://acme.my.salesforce.com",
    "userinfo": "https://acme.my.salesforce.com@evil.com",
    "userinfo before Salesforce": "https://evil.com@acme.my.salesforce.com",
    "userinfo and password": "https://user:pw@acme.my.salesforce.com",
    "empty userinfo": "https://@acme.my.salesforce.com",
    "backslash ends the host": "https://evil.com\\.salesforce.com",
    "backslash before userinfo": "https://evil.com\\@acme.my.salesforce.com",
    "backslash in the path": "https://acme.my.salesforce.com/\\evil.com",
    "backslashes as slashes": "https:\\\\acme.my.salesforce.com",
    "trailing dot": "https://acme.my.salesforce.com.",
    "leading dot": "https://.salesforce.com",
    "empty label": "https://acme..salesforce.com",
    "leading hyphen": "https://-acme.salesforce.com",
    "underscore": "https://ac_me.salesforce.com",
    "percent-encoded host": "https://evil.com%2f.salesforce.com",
    "semicolon": "https://evil.com;.salesforce.com",
    "IDNA": "https://acmé.my.salesforce.com",
    "IDNA dot": "https://acme.my.salesforce。com",
    "fullwidth": "https://\uff41cme.my.salesforce.com",
    "Kelvin sign": "https://\u212aacme.my.salesforce.com",
    "long s": "http\u017f://acme.my.salesforce.com",
    "port with a zero": "https://acme.my.salesforce.com:0443",
    "empty port": "https://acme.my.salesforce.com:",
    "port of letters": "https://acme.my.salesforce.com:https",
    "negative port": "https://acme.my.salesforce.com:-443",
    "port with a sign": "https://acme.my.salesforce.com:+443",
    "Arabic digits": "https://acme.my.salesforce.com:\u0664\u0664\u0663",
    "port out of range": "https://acme.my.salesforce.com:65536",
    "two ports": "https://acme.my.salesforce.com:443:443",
    "leading blank": " https://acme.my.salesforce.com",
    "blank in the host": "https://acme .my.salesforce.com",
    "tab": "https://acme.my.sales\tforce.com",
    "trailing newline": "https://acme.my.salesforce.com\n",
    "newline in the path": "https://acme.my.salesforce.com/\r\nHost: evil.com",
    "null": "https://acme.my.salesforce.com/\x00",
    "delete": "https://acme.my.salesforce.com/\x7f",
    "C1 control": "https://acme.my.salesforce.com/\x85",
    "line separator": "https://acme.my.salesforce.com/\u2028",
    "broken IPv6": "https://[::1",
    "no IPv6": "https://[1:2:3]",
    "IPv6 zone": "https://[fe80::1%25eth0]",
    "label of 64": f"https://{'a' * 64}.salesforce.com",
    "no host name has so many labels": f"https://{'a.' * 150}salesforce.com",
}


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_url_has_no_origin(url: str) -> None:
    assert origin_of(url) is None


def test_nothing_is_kept_of_a_hostile_url() -> None:
    _origin.cache_clear()

    for url in (
        *HOSTILE.values(),
        "/callback?code=a",
        "a!token",
        f"https://{'a' * 100_000}",
        f"{'a.' * 100_000}com",
    ):
        origin_of(url)
    assert _origin.cache_info().currsize == 0
    origin_of("https://acme.my.salesforce.com/callback?code=a")
    origin_of("https://acme.my.salesforce.com/other?code=b")

    assert _origin.cache_info().currsize == 1


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_url_is_never_trusted_whatever_the_settings_say(url: str) -> None:
    listed = [url, url.partition("://")[2]]

    assert not is_trusted_url(url, listed)
    assert not same_origin(url, url)
    assert not is_sandbox_url(url)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"),
        ("https://yourInstance.Salesforce.COM/a@b", "https://yourinstance.salesforce.com"),
        ("HTTPS://acme.my.salesforce.com:443/x", "https://acme.my.salesforce.com"),
        ("http://localhost:80", "http://localhost"),
        ("https://acme.my.salesforce.com:8443?x", "https://acme.my.salesforce.com:8443"),
        ("https://acme.my.salesforce.com#x", "https://acme.my.salesforce.com"),
        ("http://127.0.0.1:8001/a b", "http://127.0.0.1:8001"),
        ("http://[::1]:8001", "http://[::1]:8001"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://xn--acm-dma.my.salesforce.com", "https://xn--acm-dma.my.salesforce.com"),
        (f"{INSTANCE}/query?q=WHERE Name = 'O\\'Brien'", INSTANCE),
        (f"{INSTANCE}/query?q=WHERE Name = 'Zoë'", INSTANCE),
    ],
)
def test_an_origin_is_normalised(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@given(st.text(alphabet="htps:/\\@.?#[]%\t\n :salesforcevil.comEVIL0123-_é。", max_size=60))
def test_urllib3_and_the_standard_library_read_the_same_host_as_we_do(rest: str) -> None:
    origin = origin_of(f"https://{rest}")

    expected = {parse_url(f"https://{rest}").host, urlsplit(f"https://{rest}").hostname} if origin else {None}
    assert expected == {parse_url(origin).host if origin else None}


@pytest.mark.parametrize("suffix", DEFAULT_HOST_SUFFIXES)
def test_every_host_of_salesforce_is_trusted_over_https_on_its_own_port(suffix: str) -> None:
    assert is_trusted_url(f"https://acme{suffix}")
    assert is_trusted_url(f"https://ACME.my{suffix.upper()}:443/services/data/")
    assert not is_trusted_url(f"http://acme{suffix}")
    assert not is_trusted_url(f"https://acme{suffix}:8443")
    assert not is_trusted_url(f"https://{suffix.removeprefix('.')}")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil-salesforce.com",
        "https://evilsalesforce.com",
        "https://salesforce.com.evil.com",
        "https://login.salesforce.com.evil.com",
        "https://acme.my-salesforce.com",
        "https://acme.my.site.com",
        "https://evil.com/acme.my.salesforce.com",
        "https://evil.com?.salesforce.com",
        "https://evil.com#.salesforce.com",
        "https://127.0.0.1",
        "https://[::1]",
        "https://169.254.169.254",
        "http://localhost:8001",
        "http://127.0.0.1:8001",
    ],
)
def test_a_lookalike_host_is_not_trusted(url: str) -> None:
    assert not is_trusted_url(url)


@pytest.mark.parametrize(
    ("url", "trusted", "is_trusted"),
    [
        ("https://sso.customer.example", "sso.customer.example", True),
        ("https://sso.customer.example", "SSO.customer.example", True),
        ("https://sso.customer.example", "sso.customer.example:443", True),
        ("https://sso.customer.example:443", "sso.customer.example", True),
        ("https://sso.customer.example:8443", "sso.customer.example:8443", True),
        ("https://sso.customer.example:8443", "sso.customer.example", False),
        ("https://sso.customer.example", "sso.customer.example:8443", False),
        ("https://sub.sso.customer.example", "sso.customer.example", False),
        ("http://sso.customer.example", "sso.customer.example", False),
        ("http://sso.customer.example:80", "sso.customer.example:80", False),
        ("http://localhost:8001", "localhost:8001", True),
        ("http://localhost", "localhost", True),
        ("http://localhost:8001", "localhost", False),
        ("http://127.0.0.1:8001", "127.0.0.1:8001", True),
        ("http://127.9.9.9:8001", "127.9.9.9:8001", True),
        ("http://[::1]:8001", "[::1]:8001", True),
        ("http://[::2]:8001", "[::2]:8001", False),
        ("http://[::ffff:127.0.0.1]:8001", "[::ffff:7f00:1]:8001", False),
        ("http://[::ffff:127.0.0.1]:8001", "[::ffff:127.0.0.1]:8001", False),
        ("http://128.0.0.1:8001", "128.0.0.1:8001", False),
        ("http://0.0.0.0:8001", "0.0.0.0:8001", False),
        ("http://127.1:8001", "127.1:8001", False),
        ("http://localhost.evil.com", "localhost.evil.com", False),
        ("https://acme.my.salesforce.com:8443", "acme.my.salesforce.com:8443", True),
    ],
)
def test_a_listed_host_is_trusted_on_its_port_and_plain_http_only_on_loopback(
    url: str, trusted: str, is_trusted: bool
) -> None:
    assert is_trusted_url(url, [trusted]) is is_trusted


@pytest.mark.parametrize(
    "host",
    [
        "login.salesforce.com",
        "test.salesforce.com",
        "LOGIN.salesforce.com",
        "acme.my.salesforce.com",
        "acme--full.sandbox.my.salesforce.com",
        "acme-dev-ed.develop.my.salesforce.com",
        "acme.my.salesforce.mil",
        "127.0.0.1:8001",
        "sso.customer.example",
    ],
)
def test_a_user_may_log_in_at_a_listed_host_a_my_domain_or_a_trusted_one(host: str) -> None:
    assert is_login_host(host, LOGIN_HOSTS, ["127.0.0.1:8001", "sso.customer.example"])


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.com",
        "na1.salesforce.com",
        "my.salesforce.com",
        "a.b.c.my.salesforce.com",
        "acme.my.salesforce.com.evil.com",
        "evil-my.salesforce.com",
        "acme.my.salesforce.com:8443",
        "acme.my.salesforce.com.",
        "evil.com/acme.my.salesforce.com",
        "acme.my.salesforce.com/x",
        "acme.my.salesforce.com?",
        "login.salesforce.com#",
        "login.salesforce.com/",
        "login.salesforce.com\n",
        "https://login.salesforce.com",
        "evil.com@login.salesforce.com",
        "login.salesforce.com\\",
        "127.0.0.1:8001",
    ],
)
def test_a_login_host_that_a_form_made_up_is_refused(host: str) -> None:
    assert not is_login_host(host, LOGIN_HOSTS)


@pytest.mark.parametrize(
    ("url", "is_sandbox"),
    [
        ("https://test.salesforce.com", True),
        ("https://acme--full.sandbox.my.salesforce.com/", True),
        ("https://acme--full.sandbox.my.salesforce.mil", True),
        ("https://login.salesforce.com", False),
        ("https://acme.my.salesforce.com", False),
        ("https://acme-dev-ed.develop.my.salesforce.com", False),
        ("https://test.salesforce.com.evil.com", False),
        ("https://evil.com/test.salesforce.com", False),
    ],
)
def test_a_sandbox_is_known_by_its_host(url: str, is_sandbox: bool) -> None:
    assert is_sandbox_url(url) is is_sandbox


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("query", f"{INSTANCE}/services/data/v66.0/query"),
        ("query?q=a b", f"{INSTANCE}/services/data/v66.0/query?q=a b"),
        ("", f"{INSTANCE}/services/data/v66.0/"),
        ("sobjects/A/Ext__c/a:b", f"{INSTANCE}/services/data/v66.0/sobjects/A/Ext__c/a:b"),
        ("/services/data/", f"{INSTANCE}/services/data/"),
        ("/", f"{INSTANCE}/"),
        (
            "/services/data/v66.0/query/01g000000000001-2000",
            f"{INSTANCE}/services/data/v66.0/query/01g000000000001-2000",
        ),
        (f"{INSTANCE}/x?y=z", f"{INSTANCE}/x?y=z"),
        ("https://other.example/x", "https://other.example/x"),
        ("http://other.example/x", "http://other.example/x"),
    ],
)
def test_a_path_is_joined_as_the_contract_says(path: str, url: str) -> None:
    assert join_instance_url(f"{INSTANCE}/", path, "66.0") == url


@pytest.mark.parametrize(
    "path",
    [
        "//evil.com",
        "///evil.com",
        "\\\\evil.com",
        "\\evil.com",
        "/\\evil.com",
        "/\t/evil.com",
        "/x\r\nHost: evil.com",
        "\x00",
        "ftp://evil.com",
        "javascript:alert(1)",
        "https:evil.com",
        "https:/evil.com",
        "https:\\\\evil.com",
        "x\\..\\evil.com",
        "https://a@evil.com",
        "https://evil.com\\@acme.my.salesforce.com",
    ],
)
def test_a_path_that_could_name_another_host_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        join_instance_url(INSTANCE, path, "66.0")


@pytest.mark.parametrize("path", ["query", "/services/data/", f"{INSTANCE}/services/data/"])
def test_nothing_is_joined_to_a_hostile_instance(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        join_instance_url("https://acme.my.salesforce.com@evil.com", path, "66.0")


@given(st.text(alphabet="/\\@.:?#%\t evilcomthps", max_size=20))
@example("query")
@example("//evil.com")
@example("https://evil.com")
def test_a_joined_path_stays_on_the_instance(path: str) -> None:
    try:
        url = join_instance_url(INSTANCE, path, "66.0")
    except ValueError:
        return

    if url == path:
        assert not path.startswith(("/", "\\"))
    else:
        assert parse_url(url).host == urlsplit(url).hostname == "acme.my.salesforce.com"
        assert same_origin(url, INSTANCE)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (f"{INSTANCE}/x", True),
        ("https://ACME.my.salesforce.com:443", True),
        ("http://acme.my.salesforce.com", False),
        ("https://acme.my.salesforce.com:8443", False),
        ("https://acme2.my.salesforce.com", False),
        ("", False),
    ],
)
def test_origins_are_compared_by_scheme_host_and_port(other: str, is_same: bool) -> None:
    assert same_origin(INSTANCE, other) is is_same


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Login.Salesforce.com/path", "login.salesforce.com"),
        ("http://127.0.0.1:8001", "127.0.0.1:8001"),
        ("https://user@login.salesforce.com", ""),
        ("login.salesforce.com", ""),
    ],
    ids=["host", "host-and-port", "userinfo", "no-scheme"],
)
def test_the_host_of_a_url_is_empty_when_it_cannot_be_told(url: str, host: str) -> None:
    assert host_of(url) == host
