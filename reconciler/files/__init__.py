"""Files that a pull request can choose, manifests and the data that they name, and small private caches.

inside        what stays inside a folder; regular files only; no link followed
manifests     the folder of manifests         glob       globs to files
survey        the files of every batch        reading    their bytes, as they were fingerprinted
fingerprints  SHA-256, remembered             caches     files whose loss costs only time
"""
