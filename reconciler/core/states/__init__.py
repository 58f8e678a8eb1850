"""What is recorded: the bytes of state files and journals, and the records that they stand for.

state     the state file                     journal   the log of a run
lines     one line of either                 replay    a state with a journal replayed on it
merge     two histories of one state         progress  one record while its batch is filled
schema    JSON Schema of a line
"""
