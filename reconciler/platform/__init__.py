"""The httpx adapter for AEP: the one place that knows HTTP. Start reading at `catalog`.

catalog     what is read                 ingestion  what is changed
paging      listings                     changes    abort, complete, revert, tags
wire        our values ↔ AEP's JSON      uploads    files, whole or in parts
build       makes the clients            exchange   signs, paces, spreads
auth        headers and tokens           sending    one attempt
retry       what is asked again          urls       URLs, their length, what may stand in them
gate, rate  how many, how fast           problems   answers without success → errors
outcome     what an answer means         answer     status, headers, bounded body
"""

from reconciler.platform.build import open_platform
from reconciler.platform.retry import Retries
from reconciler.platform.timing import Timing

__all__ = ["Retries", "Timing", "open_platform"]
