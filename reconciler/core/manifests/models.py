"""The form of manifests and project file: one source for the checks and for the JSON Schema.

Only what one field or one small mapping can say about itself is checked here; what depends on other fields,
documents, the environment or the day is checked later.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from reconciler.core.manifests.dates import ONE_DAY
from reconciler.core.manifests.fields import (
    Address,
    BatchId,
    Character,
    Charset,
    DatasetId,
    DimensionName,
    EnvironmentName,
    ExternalId,
    FilePattern,
    Flag,
    Format,
    Header,
    IgnoredField,
    Key,
    MomentField,
    Name,
    Org,
    Percent,
    Predecessor,
    Printable,
    ProjectName,
    Recreate,
    Removal,
    Sandbox,
    StepField,
    TagName,
    TagValue,
    Whole,
    mistake,
    null_as_list,
    null_as_mapping,
)

VARIANTS = frozenset({"<one>", "<map>", "<keys>", "<range>"})
"""Steps that pydantic adds to an error's location for a choice of forms; the YAML has no such keys."""


def _shape_of_id(value: object) -> str:
    return "<map>" if isinstance(value, dict) else "<one>"


def _shape_of_dimension(value: object) -> str:
    return "<range>" if isinstance(value, dict) else "<keys>"


class Model(BaseModel):
    """What all models have in common: unknown fields are mistakes, and no input reaches an exception's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=False)


class CsvFields(Model):
    """How CSV files are read."""

    delimiter: Character | None = Field(default=None, description="What separates the columns; one character.")
    quote: Character | None = Field(default=None, description="What stands around a value; one character.")
    escape: Character | None = Field(default=None, description="What makes the next character literal; one character.")
    null_marker: Printable | None = Field(default=None, description="The text that means: no value.")
    header: Header | None = Field(
        default=None,
        description="That the first line names the columns: AEP takes no other CSV file.",
        json_schema_extra={"const": True},
    )
    charset: Charset | None = Field(default=None, description="The encoding of the files.")


class LifecycleFields(Model):
    """The rules for a batch's later life."""

    on_remove: Removal | None = Field(
        default=None,
        description="What becomes of the batch when its manifest goes; default `forget`: it stays in AEP.",
    )
    recreate_when: list[Recreate] | None = Field(
        default=None, description="When a lost batch is made anew; default missing, aborted, abandoned."
    )
    prevent_replace: Flag | None = Field(default=None, description="Refuse a plan that would replace the batch.")
    ignore: list[IgnoredField] | None = Field(
        default=None, description="What is set at creation and never compared again."
    )


class DateRange(Model):
    """A dimension that is a range of dates, both ends inclusive."""

    start: Annotated[MomentField, Field(alias="from", description="The first date.")]
    end: Annotated[MomentField, Field(alias="to", description="The last date, if the steps meet it.")]
    step: Annotated[StepField, Field(description="Such as `1d`, `7d`, `2w`, `1mo`, `1y`.")] = ONE_DAY


Dimension = Annotated[
    Annotated[list[Key], Tag("<keys>"), Field(min_length=1, json_schema_extra={"uniqueItems": True})]
    | Annotated[DateRange, Tag("<range>")],
    Discriminator(_shape_of_dimension),
]


class SharedFields(Model):
    """The fields that `defaults` may give to all batches of a dataset."""

    format: Format | None = Field(default=None, description="The format of the files, in any case; default parquet.")
    multiline: Flag | None = Field(default=None, description="Whether one JSON object may span lines; with json only.")
    csv: Annotated[CsvFields, BeforeValidator(null_as_mapping)] | None = Field(
        default=None, description="How CSV files are read; with csv only."
    )
    tags: (
        Annotated[
            dict[TagName, Annotated[list[TagValue], Field(min_length=1)]],
            BeforeValidator(null_as_mapping),
        ]
        | None
    ) = Field(default=None, description="Name → list of texts; `{dimension}` is filled in.")
    error_diagnostics: Flag | None = Field(default=None, description="Whether AEP keeps the reasons for rejected rows.")
    partial_ingestion_percent: Percent | None = Field(
        default=None, description="How many percent of the rows may be rejected before the batch fails."
    )
    files: Annotated[list[FilePattern], BeforeValidator(null_as_list)] | None = Field(
        default=None,
        description="The batch's content: paths or globs inside the repository; `{dimension}` is filled in.",
    )
    complete: Flag | None = Field(
        default=None, description="Whether the batch is completed once its files are uploaded."
    )
    lifecycle: Annotated[LifecycleFields, BeforeValidator(null_as_mapping)] | None = Field(
        default=None, description="The rules for the batch's later life."
    )


class BatchFields(SharedFields):
    """A batch, or with `each` a family of batches."""

    each: Annotated[dict[DimensionName, Dimension], Field(min_length=1)] | None = Field(
        default=None,
        description="Dimensions: one batch for each combination of their keys, in the order written.",
    )
    external_id: ExternalId | None = Field(
        default=None, description="The id under which AEP knows the batch, in place of the derived one."
    )
    replaces: list[Predecessor] | None = Field(
        default=None, description="Addresses or ids of the batches whose data this one replaces."
    )


class MoveEntry(Model):
    """An address that was renamed."""

    origin: Annotated[Address, Field(alias="from", description="The address that the state file knows.")]
    target: Annotated[Address, Field(alias="to", description="The address that is declared now.")]


class ImportEntry(Model):
    """An existing batch that is to be managed."""

    target: Annotated[Address, Field(alias="to", description="The declared address it is to stand at.")]
    id: Annotated[BatchId, Field(description="The batch's id, as AEP shows it.")]


Moved = Annotated[list[MoveEntry], BeforeValidator(null_as_list)]
Imports = Annotated[list[ImportEntry], BeforeValidator(null_as_list)]


class DatasetFields(Model):
    """One document of a manifest: one dataset and its batches."""

    dataset: Name | None = Field(default=None, description="The first part of each address; unique in the project.")
    id: (
        Annotated[
            Annotated[DatasetId, Tag("<one>")]
            | Annotated[dict[EnvironmentName, DatasetId], Tag("<map>"), Field(min_length=1)],
            Discriminator(_shape_of_id),
        ]
        | None
    ) = Field(default=None, description="The dataset's id in AEP: one for all environments, or environment → id.")
    defaults: Annotated[SharedFields, BeforeValidator(null_as_mapping)] = Field(
        default=SharedFields(), description="Fields for all batches of the dataset; a batch's own win."
    )
    batches: Annotated[
        dict[Name, Annotated[BatchFields, BeforeValidator(null_as_mapping)]], BeforeValidator(null_as_mapping)
    ] = Field(default={}, description="Name → batch; nothing behind the colon is a batch that needs nothing more.")
    moved: Moved = Field(default=[], description="Addresses that were renamed.")
    imports: Imports = Field(default=[], description="Existing batches that are to be managed.")


class EnvironmentFields(Model):
    """One AEP sandbox as a target."""

    emulator: Flag = Field(default=False, description="The embedded API: no account needed.")
    org: Annotated[Org, Field(description="The organisation, such as `…@AdobeOrg`.")] | None = None
    sandbox: Annotated[Sandbox, Field(description="The sandbox's name.")] | None = None

    @model_validator(mode="after")
    def _is_one_target(self) -> EnvironmentFields:
        for name, value in (("org", self.org), ("sandbox", self.sandbox)):
            if self.emulator and value is not None:
                message = f"`{name}` does not go with `emulator: true`"
                raise mistake("contradiction", message, "keep one of the two", at=name)
            if not self.emulator and value is None:
                hint = "an environment needs `org` and `sandbox`, or `emulator: true`"
                raise mistake("missing-field", f"{{field}} has no `{name}`", hint)
        return self


class LimitFields(Model):
    """How much one plan may do; what is not named has no limit."""

    create: Whole | None = Field(default=None, description="Batches that one plan may create.")
    replace: Whole | None = Field(default=None, description="Batches that one plan may replace.")
    delete: Whole | None = Field(default=None, description="Batches that one plan may delete.")


class ProjectFields(Model):
    """The project file."""

    project: Annotated[ProjectName, Field(description="Unique in the organisation: part of every external id.")]
    environments: Annotated[dict[EnvironmentName, EnvironmentFields], Field(min_length=1)] = Field(
        description="Name → AEP sandbox; each has a state file of its own."
    )
    default_environment: EnvironmentName | None = Field(
        default=None, description="Used when neither flag nor variable names one."
    )
    limits: Annotated[LimitFields, BeforeValidator(null_as_mapping)] = Field(
        default=LimitFields(), description="A plan beyond these is refused."
    )
    moved: Moved = Field(default=[], description="Addresses that were renamed.")
    imports: Imports = Field(default=[], description="Existing batches that are to be managed.")
