"""What the file says of hops: our name, who tells of clients in which fields, rates, and the user of the workers."""

import pytest

from config.forwarding import ClientHeaders, Via
from config.show import render
from tests.config.loading import HEAD, ONE, config_of, problems_of


def complaint(text: str) -> str:
    """The only problem of a file with this line, without its place in the file."""
    (found,) = problems_of(f"{HEAD}{ONE}{text}")
    return found.split(": ", 1)[1]


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("via: edge-1", Via(name="edge-1")),
        ("via: shop.example.com:8080", Via(name="shop.example.com:8080")),
        ("via: {name: edge-1, responses: true}", Via(name="edge-1", responses=True)),
        ("via: off", None),
        ("", None),
    ],
)
def test_our_name_may_be_said_alone_or_with_more(text: str, via: Via | None) -> None:
    config = config_of(f"{HEAD}{ONE}{text}")
    assert config.via == via
    assert config_of(render(config)) == config


@pytest.mark.parametrize("name", ["'edge 1'", "'a,b'", "'a(b)'", "''", "'a:'", "'[::1]'", "'a\\tb'"])
def test_a_name_that_others_could_not_read_is_refused(name: str) -> None:
    assert "via" in complaint(f"via: {name}")
    assert "is not a name for Via" in complaint(f"via: {{name: {name}}}")


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Content_Length", "Cookie", "X-Forwarded-For", "X_Serinus_Anything", "Via", "TE"]
)
def test_fields_with_a_meaning_are_no_internal_ones(name: str) -> None:
    assert complaint(f"internal_headers: [{name}]").startswith(
        f"internal_headers[0]: {name!r} has a meaning of its own"
    )


def test_internal_fields_are_one_or_several() -> None:
    assert config_of(f"{HEAD}{ONE}internal_headers: X-Canary").internal_headers == ("X-Canary",)
    assert config_of(f"{HEAD}{ONE}internal_headers: [X-Canary, X_User]").internal_headers == ("X-Canary", "X_User")
    assert "is not the name of a header field" in complaint("internal_headers: ['X A']")


def test_what_endpoints_are_told_is_in_the_order_of_the_options() -> None:
    told = ClientHeaders(fingerprint="X-F", certificate="Client-Cert")
    assert told.named == (("certificate", "Client-Cert"), ("fingerprint", "X-F"))
    with pytest.raises(ValueError, match="names a header field twice"):
        ClientHeaders(subject="X-Client", fingerprint="x_client")


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("127.0.0.1:8080", "trusted_proxies: 10.0.0.0/8"), ("unix:/run/shop.sock", ""), ("fd@3", "")],
)
def test_a_listener_may_be_told_who_its_clients_are(address: str, trusted: str) -> None:
    config = config_of(f"listen: [{{address: '{address}', proxy_protocol: true}}]\n{ONE}{trusted}")
    assert config.listen[0].proxy_protocol


@pytest.mark.parametrize("trusted", ["", "trusted_proxies: []"])
def test_a_listener_that_would_take_nobody_is_refused(trusted: str) -> None:
    (found,) = problems_of(f"listen: [{{address: 127.0.0.1:80, proxy_protocol: true}}]\n{ONE}{trusted}")
    assert found.endswith("listen[0].proxy_protocol: needs trusted_proxies: without them no connection is taken here")


@pytest.mark.parametrize(("said", "rate"), [("500", 500), ("1KiB", 1024), ("off", 0), ("0", 0)])
def test_the_rate_of_clients_is_a_size_or_off(said: str, rate: int) -> None:
    assert config_of(f"{HEAD}{ONE}limits: {{client_rate: {said}}}").limits.client_rate == rate


def test_a_group_is_that_of_a_user() -> None:
    config = config_of(f"{HEAD}{ONE}user: www-data\ngroup: '33'")
    assert (config.user, config.group) == ("www-data", "33")
    assert "group needs user" in problems_of(f"{HEAD}{ONE}group: www-data")[0]
    assert "is not the name or the number of a user" in complaint("user: 'a b'")
