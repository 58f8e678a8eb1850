"""Manifests: YAML text becomes declared batches. Knows no clock, no environment variable and no file.

    source → document → parse → declaration → expand → `batch.Desired`

source, document    a file, and its YAML as plain data       positions    where each piece of it stands
fields, models      the form of what users write             schema       JSON Schema for editors
parse, batches      files and `batches` entries as values    declaration  what they declare, as values
dates               the date ranges of `each`                templates    `{dimension}` in texts
project             environments and limits                  references   `moved`, `imports`, `replaces`
mistakes, findings  what is wrong, and where                 expand       every batch of an environment and a day
"""
