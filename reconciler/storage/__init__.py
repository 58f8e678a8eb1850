"""The state directory: what was committed or appended is durable.

store      load and commit                   journal   the open journal of a run
lock       only one run uses a state         disk      every single effect on the file system
bookmarks  the cache beside a state
"""
