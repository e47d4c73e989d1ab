"""The controller's part of a file."""

from pathlib import Path

import pytest

from config.address import TcpAddress
from config.controller import FreezeWindow, led_proxies
from config.show import TOKEN_VARIABLE, plain
from tests.config.loading import HEAD, ONE, config_of, problems_of


def complaints_of(settings: str) -> list[str]:
    return [problem.split(": ", 1)[1] for problem in problems_of(f"{HEAD}{ONE}controller: {settings}")]


def test_a_controller_leads_the_proxy_of_its_file_by_default():
    config = config_of(f"{HEAD}{ONE}admin: {{address: '0.0.0.0:9900', token: s3cret}}")
    assert config.controller.address == TcpAddress("127.0.0.1", 9901)
    (proxy,) = led_proxies(config.controller, config.admin)
    assert (proxy.address, proxy.token) == (TcpAddress("127.0.0.1", 9900), config.admin.token)


@pytest.mark.parametrize("address", ["fd@3", "127.0.0.1:0"])
def test_a_proxy_that_nobody_can_call_has_to_be_named(address: str):
    config = config_of(f"{HEAD}{ONE}admin: {{address: '{address}', token: x}}")
    with pytest.raises(ValueError, match=r"does not say where to call: name the proxy in controller\.proxies"):
        led_proxies(config.controller, config.admin)


def test_a_controller_may_lead_several_proxies_each_with_its_token(tmp_path: Path):
    (tmp_path / "a.token").write_text("abc\n")
    text = "controller: {proxies: [{address: 'a:9900', token_file: a.token}, {address: 'unix:/run/b.sock', token: x}]}"
    config = config_of(f"{HEAD}{ONE}{text}", folder=tmp_path)
    proxies = led_proxies(config.controller, config.admin)
    assert [proxy.token.get_secret_value() for proxy in proxies if proxy.token] == ["abc", "x"]
    shown = plain(config)["controller"]["proxies"]
    assert [proxy.get("token") for proxy in shown] == [None, TOKEN_VARIABLE]


def test_a_freeze_window_is_said_in_times_of_the_day():
    window = "{days: [fri, sat], from: '16:00', to: '08:00', timezone: Europe/Berlin, reason: weekend}"
    (found,) = config_of(f"{HEAD}{ONE}controller: {{freeze: {window}}}").controller.freeze
    assert (found.days, found.from_, found.to, found.timezone) == (("fri", "sat"), 960, 480, "Europe/Berlin")
    assert found.model_dump(mode="json", by_alias=True)["to"] == "08:00"
    assert FreezeWindow().to == 1440


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            "{freeze: {from: '8:00'}}",
            'controller.freeze.from: not a time of the day: \'8:00\'; write "08:00" or "24:00"',
        ),
        ("{freeze: {days: []}}", "controller.freeze: days needs at least one day"),
        (
            "{freeze: {timezone: Mars}}",
            "controller.freeze.timezone: unknown time zone 'Mars'; write UTC or a name such as",
        ),
        ("{proxies: [{address: 'a:1'}, {address: 'A:1'}]}", "controller: proxies names an address twice"),
        ("{address: '0.0.0.0:9901'}", "controller: others can reach 0.0.0.0:9901, so a token is needed"),
        ("{address: '127.0.0.1:9900'}", "controller.address: 127.0.0.1:9900 is listened on already"),
        ("{notify: {url: nowhere}}", "controller.notify.url: not a URL: 'nowhere'"),
    ],
)
def test_what_cannot_be_is_refused(settings: str, complaint: str):
    (found,) = complaints_of(settings)
    assert found.startswith(complaint)
