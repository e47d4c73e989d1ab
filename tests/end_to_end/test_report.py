"""The series and the report of a rollout with real processes, through a crash of the controller."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.end_to_end.test_rollouts import TIMED, Traffic, a_scene
from tests.support.whole_proxy import wait_until

pytestmark = pytest.mark.timeout(180)


def test_a_report_tells_every_second_of_a_rollout_though_the_controller_crashed_in_it(tmp_path: Path):
    with a_scene(tmp_path, TIMED) as scene:
        controller = scene.controller
        traffic = Traffic(scene.proxy)
        wait_until(lambda: traffic.good > 20)
        assert controller.serinus("start", "shop", "--reason", "<release> & 7").returncode == 0
        wait_until(lambda: controller.client.series("shop-1")["rows"])
        controller.kill()
        controller.start()
        controller.until("shop-1", "promoted")

        def is_complete() -> bool:
            found = controller.client.series("shop-1")
            return bool(found["rows"][-1]["at"] + 1 > found["ended"])

        wait_until(is_complete)
        traffic.close()
        page = tmp_path / "report.html"
        ended = controller.serinus("report", "shop", "-o", str(page), "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    rows = told["series"]["rows"]
    assert rows[0]["at"] <= told["series"]["began"] + 1
    assert all(before["at"] + before["span"] == after["at"] for before, after in pairwise(rows))
    assert any(row["odds"] for row in rows)
    assert sum(row["versions"]["canary"]["errors"] for row in rows) == 0
    assert max(row["versions"]["canary"]["actual"] or 0.0 for row in rows) > 0.75
    root = ElementTree.fromstring(page.read_text(encoding="utf-8").removeprefix("<!doctype html>\n"))
    text = " ".join(" ".join(root.itertext()).split())
    assert told["outcome"].startswith("canary of shop was promoted after ")
    assert f"{told['outcome']}." in text
    assert "started by " in text
    assert "<release> & 7" in text
