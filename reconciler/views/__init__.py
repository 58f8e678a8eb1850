"""Values in, text out: terminal, JSON, Markdown. Views never write, never read a clock and never decide anything."""
