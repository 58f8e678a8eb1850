"""AEP over HTTP, by httpx: implements `ports.Catalog` and `ports.Ingestion`. Start reading at `catalog`.

build       opens all of it                  answer      status, headers, bounded body
catalog     what is read                     outcome     what an answer says about its request
ingestion   what is changed                  problems    failures, and their errors and hints
changes     abort, complete, revert, tags    retry       attempts repeated until a deadline
uploads     files, whole or in parts         throttling  how many requests at once, how many creations a minute
paging      listings, page by page           urls        URLs, their length, what they can hold
                                             proxies     which proxy a request goes by
exchange    signs, paces and spreads         wire        our values ↔ AEP's JSON
auth        headers and tokens               sending     one attempt
"""

from reconciler.platform.build import open_platform
from reconciler.platform.retry import Retries
from reconciler.platform.throttling import Timing

__all__ = ["Retries", "Timing", "open_platform"]
