"""Terraform for Adobe Experience Platform batches: manifests in Git, a plan in the pull request, never twice.

From the top down, as imports point:

__main__    the command `reconciler`
cli/        its subcommands, options and exit codes
connect     AEP or the embedded emulator, as the environment says
recovery    `import`, `discover` and the repair of a state: `state check`, `rebuild`
records     what needs the records alone: `state list`, `mv`, `rm`, `commit`, merge
scaffold    `init`
package     what the pipelines of `init` install
operations  `plan` and `apply`, step by step
session     one opening of a project: what is declared, the locked state, AEP
workspace   where a run works, and what the manifests there declare
apply/      carries out a plan
refresh/    reads Catalog for a plan
platform/   speaks to AEP
storage/    keeps state and journal
views/      plans, results and errors as text, JSON, Markdown
files/      reads manifests and data
ports       what the rooms above need of AEP and of data, as Protocols
settings    environment variables as values, and secrets
core/       the pure core: what is declared, recorded and planned
emulator/   an independent AEP to play and test against
"""

__version__ = "0.1.0"
