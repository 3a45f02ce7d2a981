"""What the peers that are scripts say of themselves, as a line of JSON."""

import contextlib
import json
import re
import time
from pathlib import Path


@contextlib.contextmanager
def measured():
    """Times the block, without the start of Python and what is loaded first: that is to their favour."""
    before = time.perf_counter()
    yield
    seconds = time.perf_counter() - before
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    print(json.dumps({"seconds": seconds, "peak_memory": peak / 1024}))
