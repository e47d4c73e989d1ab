"""What Locust is started with."""

import pytest

from loadtests import run
from loadtests.run import Target, command

TARGET = Target("http://proxy", "http://admin", "http://controller")


def started_with(*arguments: str) -> str:
    """The command behind the interpreter, the files and what is the same for all."""
    words = " ".join(command(run._parser().parse_args(arguments), TARGET)[6:])
    return words.removeprefix("--headless --only-summary ")


def test_locust_is_told_what_to_load_and_how_to_judge_it():
    assert started_with("--seconds", "7", "--users", "200", "--budget", "0.01", "--shape", "spike") == (
        "--host http://proxy --admin http://admin --controller http://controller --service shop --error-budget 0.01"
        " --shape spike --users 200 --spawn-rate 100 --run-time 7s --stop-timeout 10"
    )


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ([], "--run-time 5s --stop-timeout 10"),
        (["--shape", "canary-walk"], "--users 20 --spawn-rate 20 --stop-timeout 10"),
        (["--classes", "SteadyUser,UploadUser"], "--stop-timeout 10 SteadyUser UploadUser"),
        (["--", "--processes", "2"], "--stop-timeout 10 --processes 2"),
        (["--host", "http://shop", "--not-alone"], "--not-alone SteadyUser StickyUser PreviewUser"),
        (["--host", "http://shop", "--classes", "UploadUser"], "--stop-timeout 10 UploadUser"),
    ],
)
def test_what_nobody_says_depends_on_the_rest(arguments: list[str], end: str):
    assert started_with(*arguments).endswith(end)


@pytest.mark.parametrize("arguments", [["--shape", "circle"], ["--seconds", "long"], ["--users", "many"]])
async def test_what_cannot_be_used_is_refused(arguments: list[str]):
    with pytest.raises(SystemExit, match="2"):
        await run.main(arguments)
