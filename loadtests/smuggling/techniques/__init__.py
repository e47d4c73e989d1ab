"""All techniques: bytes with a name and a source.

Owns: the list. Must not: know how they are sent. In the bytes, `/up/` stands for the server that is meant and `/000`
for the number of the technique; both are replaced by text of the same length, so lengths may be counted as they
stand.
"""

from loadtests.smuggling.techniques.bodies import BODIES
from loadtests.smuggling.techniques.chunks import CHUNKS
from loadtests.smuggling.techniques.codings import CODINGS
from loadtests.smuggling.techniques.heads import HEADS
from loadtests.smuggling.techniques.parts import Technique
from loadtests.smuggling.techniques.targets import TARGETS

TECHNIQUES: tuple[Technique, ...] = (*BODIES, *CODINGS, *CHUNKS, *HEADS, *TARGETS)

__all__ = ["TECHNIQUES", "Technique"]
