"""The httpx adapter for AEP: the one place that knows HTTP. Start reading at `client`.

build       makes the clients            client     the operations of `ports.Platform`
exchange    signs, paces, spreads        changes    abort, complete, revert, tags
sending     one attempt                  paging     listings
auth        headers and tokens           wire       our values ↔ AEP's JSON
retry       what is asked again          addresses  URLs and their length
gate, rate  how many, how fast           problems   answers without success → errors
outcome     what an answer means         answer     status, headers, bounded body
"""

from reconciler.platform.build import build_platform
from reconciler.platform.client import AepPlatform
from reconciler.platform.retry import Patience
from reconciler.platform.timing import Timing

__all__ = ["AepPlatform", "Patience", "Timing", "build_platform"]
