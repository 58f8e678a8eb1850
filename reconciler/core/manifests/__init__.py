"""Manifests: YAML text becomes declared batches. Knows no clock, no environment variable and no file.

    source → document → parse → declaration → expand → `batch.Desired`

document, positions  YAML as plain data, and where each piece stands
fields, models       the form of what users write      parse, batches     files and `batches` entries as values
dimensions, dates    `each`, and ranges of dates       templates          `{dimension}` in texts
references           `moved`, `imports`, `replaces`    project            environments and limits
mistakes, findings   what is wrong, and where          schema             JSON Schema for editors
"""
