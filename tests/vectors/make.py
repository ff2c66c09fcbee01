"""Write the vectors anew from the answers of this machine's kernel (as root; it works in a namespace of its own).

python -m tests.vectors.make keys > tests/vectors/jhash.json
python -m tests.vectors.make flows > tests/vectors/flows.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tests.netns import flow_vectors, kernel_hash, named
from tests.netns.inside import Inside

NAMESPACE = "vchash"


def main(what: str) -> None:
    named.add(NAMESPACE)
    inside = Inside(NAMESPACE)
    try:
        if what == "flows":
            answered = [asdict(flow) for flow in inside.call(flow_vectors.kernel_slots, flow_vectors.vectors(20))]
        else:
            answered = [asdict(case) for case in inside.call(kernel_hash.kernel_slots, kernel_hash.cases(20))]
    finally:
        inside.kill()
        named.delete(NAMESPACE)
    sys.stdout.write("[\n" + ",\n".join(json.dumps(vector) for vector in answered) + "\n]\n")


if __name__ == "__main__":
    if sys.argv[1:] not in (["keys"], ["flows"]):
        sys.exit(__doc__)
    main(sys.argv[1])
