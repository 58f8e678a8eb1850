"""Manifests: YAML text becomes declared batches. Knows no clock, no environment variable and no file.

    source → document → parse → declaration → expand → `batch.Desired`

source                   files as they were read           document, positions  YAML as data, and where each piece is
fields, models           the form of what users write      parse, batches       files and `batches` entries as values
dates                    `each`, and ranges of dates       references           `moved`, `imports`, `replaces`
templates                `{dimension}` in texts            project              environments and limits
mistakes, findings       what is wrong, and where          schema               JSON Schema for editors
declaration              what is declared, as values       expand               every batch of one environment and day
"""
