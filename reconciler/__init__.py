"""Terraform for Adobe Experience Platform batches: manifests in Git, a plan in the pull request, never twice."""

__version__ = "0.1.0"
