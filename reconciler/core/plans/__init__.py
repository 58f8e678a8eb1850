"""Three sides become a plan: what will be done at each address, and why. Deciding only; `apply` does it.

planner      one pass over all addresses      decide       the row of the decision table for one
observation  what Catalog shows               content      what is left to do for a batch's files
plan         the result, as values            policy       limits and suspicion
approval     that or less, never more         events       what a run tells, and its account
document     a plan as JSON                   planfile     a saved plan, read back
attributes   what differs, for people         schema       JSON Schema of a plan
bookmark     up to where Catalog was read     prior        what stands at an address before the plan
claims       records that contradict Catalog
"""
