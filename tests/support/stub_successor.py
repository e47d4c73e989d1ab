"""A next version that does as its mood says, in place of a whole proxy: `python stub_successor.py MOOD FOLDER`.

It speaks the words of `proxy.bequest` as far as the mood lets it, and notes in FOLDER what it was told.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path


def main(mood: str, folder: Path) -> None:
    bequest = json.loads(os.environ["SERINUS_HANDOVER"])
    line = socket.socket(fileno=bequest["control"])
    heard = line.makefile("rb")
    (folder / "bequest").write_text(json.dumps(bequest))

    def say(word: str, **more: str) -> None:
        line.sendall(json.dumps({"word": word, **more}).encode() + b"\n")

    if mood == "mute":
        signal.pause()
    if mood == "refuse":
        say("failed", reason="the file is bad")
    if mood in ("refuse", "end"):
        sys.exit(3)
    if mood == "babble":
        line.sendall(b"hello\n")
        signal.pause()
    say("prepared")
    (folder / "heard-state").write_bytes(heard.readline())
    if mood == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if mood == "mute-later":
        signal.pause()
    say("serving")
    (folder / "heard-yours").write_bytes(heard.readline())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
