"""The controller tells systemd what it does; what the proxy tells is in `test_handover`."""

import signal
from pathlib import Path

import pytest

from tests.support.endpoints import free_address
from tests.support.notified import notified
from tests.support.whole_controller import whole_controller
from tests.support.whole_proxy import a_service, wait_until, whole_proxy


def test_a_controller_says_that_it_leads_reloads_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree = a_service({"v1": free_address()}, {"v1": 1})
    place = str(tmp_path / "notify")
    with whole_proxy(tmp_path, tree) as proxy, notified(place) as told:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        with whole_controller(proxy, tree) as controller:
            leads = f"READY=1\nSTATUS=leads {proxy.admin_address}"
            wait_until(lambda: leads in told)
            controller.program.send_signal(signal.SIGHUP)
            wait_until(lambda: told.count(leads) == 2)
        said = [each.partition("\nMONOTONIC_USEC=")[0] for each in told if each not in ("WATCHDOG=1", _WAITS)]
        ending = "STOPPING=1\nSTATUS=ending; the proxies go on as they are"
        assert said == [leads, "RELOADING=1", leads, ending]
        assert "WATCHDOG=1" in told


#: Said where its start takes long.
_WAITS = "READY=1\nSTATUS=waits: another controller leads"
