"""AEP over HTTP, by httpx: implements `ports.Catalog` and `ports.Ingestion`. Start reading at `catalog`.

build       opens all of it                  answer       status, headers, bounded body
catalog     what is read                     outcome      what an answer says about its request
ingestion   what is changed                  problems     failures, and their errors and hints
changes     abort, complete, revert, tags    retry        which attempts are repeated, and when
uploads     files, whole or in parts         concurrency  how many requests at once
paging      listings, page by page           rate         how many creations a minute
exchange    signs, paces and spreads         timing       the clocks, and how to sleep
auth        headers and tokens               urls         URLs, their length, what they can hold
sending     one attempt                      wire         our values ↔ AEP's JSON
"""

from reconciler.platform.build import open_platform
from reconciler.platform.retry import Retries
from reconciler.platform.timing import Timing

__all__ = ["Retries", "Timing", "open_platform"]
