"""Carries out a plan. `engine` runs one chain of steps per address; decides nothing that the plan did not.

engine    the chains of one apply            creation  one create, from its intent to its verdict
loading   upload, complete, wait             settling  a create whose outcome is unknown: was it done?
ledger    what is recorded meanwhile         rivals    another run that created the same batch
run       what all of them work with         witness   a look at a batch right before it is written to
"""
