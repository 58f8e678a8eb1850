"""The pure core: no I/O, no clock, no randomness, no asyncio. Text becomes values, values become a plan.

Theory of operation
-------------------
Three sides are compared at each address:

- *desired*: what the manifests say (`manifests.parse` reads them, `manifests.expand` makes every batch);
- *recorded*: what the state file and its journal say (`states.state`, `states.journal`);
- *observed*: what Catalog says now (`plans.observation`).

`plans.planner` takes each address, `plans.prior` finds what stands there, and `plans.decide` is this table:

| desired | recorded | observed | action |
| --- | --- | --- | --- |
| - | - | any | none: a batch without a record is never touched |
| D | - | none with its external id | create |
| D | - | one with its external id, same dataset | adopt; a dead one is followed by the next generation |
| D | - | two or more | conflict, all ids named |
| D, in `imports` | - | that id, same dataset | import |
| D = R | R | open, in flight, done | none |
| D = R, files or completion missing | R | open | upload, complete (`plans.content`) |
| D, other files | R | done | replace: the next generation replays the old |
| D, files gone | R | open | replace: AEP has no call that takes a file out |
| D = R | R | missing, aborted, abandoned | create generation + 1 |
| D = R | R | failed, withdrawn, stuck | drift; create generation + 1 only if `recreate_when` says so |
| D != R in own tags | R | live | update in place |
| D != R otherwise | R | open | replace: create the next generation, then abort the old |
| D != R otherwise | R | done | replace: the next generation replays the old |
| moved | R at `from` | | rename in the record |
| - | R | any | forget; or delete where `on_remove: delete` |

Three rules hold everything together. An external id is a pure function of project, environment, address and generation
(`identity`), so every batch can be found again, and the state file is only a cache of the truth. And a create is
planned only where two ways of looking that fail independently agree that there is nothing (`reconciler.refresh`). And
a record is a claim: nothing is planned on one that contradicts what Catalog shows of its batch (`plans.claims`).

The content of a batch is a chain of steps; the journal holds each step before it is sent and once it is done. A record
says what AEP has confirmed to hold (`files`), what may be there (`begun`) and how far its completion is (`stage`), so a
run goes on with the step that an earlier one reached. From `completing` on a batch takes no more files.

What stands at an address may be another batch than the recorded one: a live batch of a later generation (of a run whose
record was lost), or the only live batch with the record's external id (the recorded one is gone). Then the same table
applies to that batch.

Rooms, from the top down:

plans/       from three sides to a plan; plan files, approval, policy
manifests/   from YAML to what is declared
states/      state files and journals, and what they record
data_files   what is checked of a batch's files: names, formats, limits of AEP
json_schema  JSON Schema of what is written
claim        whether a batch is the one that its record describes
batch        a batch as the three sides know it
ranges       sorted addresses as ranges
address      the grammar of addresses, and globs over them
identity     external ids, generations, marker tags
errors       what stops a command, and exit codes
diagnostics  mistakes in manifests, and where they stand
pace         default numbers: parallelism, rate, waits
wording      texts quoted, and guesses of what was meant
"""
