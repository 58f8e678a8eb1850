"""The state directory: what it says that it has is durable.

store      load and commit                   journal    the open log of a run
lock       who holds a state                 disk       every effect on the file system, one by one
bookmarks  the cache beside a state
"""
