"""Texts → `Manifests`: what comes out, what is shared, and which environment is meant. Mistakes are in tests/golden."""

from __future__ import annotations

import random

import pytest

from reconciler.core.batch import DEFAULT_RECREATE, Lifecycle, OnRemove
from reconciler.core.diagnostics import Place
from reconciler.core.errors import SettingsInvalid
from reconciler.core.manifests.dates import ONE_DAY, Moment, Range
from reconciler.core.manifests.declaration import BatchManifest, Manifests
from reconciler.core.manifests.parse import choose_environment, parse
from reconciler.core.manifests.project import EMULATOR_ORG, Environment, Import, Limits, Move, Project
from reconciler.core.manifests.source import Source

ORG = "0123456789ABCDEF01234567@AdobeOrg"
PROJECT = Source(
    "manifests/reconciler.yaml",
    f"""\
project: acme-crm
default_environment: dev
environments:
  local: {{emulator: true}}
  dev: {{org: {ORG}, sandbox: dev}}
limits: {{create: 500, delete: 0}}
imports: [{{to: loyalty/a, id: 01A}}]
""",
)


def parsed(*sources: Source) -> Manifests:
    manifests, found = parse(sources)
    assert found == ()
    assert manifests is not None
    return manifests


def loyalty(text: str, file: str = "manifests/loyalty.yaml") -> Source:
    return Source(file, f"dataset: loyalty\nid: 5c8c\n{text}")


def batches(text: str) -> dict[str, BatchManifest]:
    return {batch.name: batch for batch in parsed(PROJECT, loyalty(text)).datasets[0].batches}


def codes(*sources: Source) -> list[str]:
    manifests, found = parse(sources)
    assert manifests is None
    return [each.code for each in found]


def test_the_project_file() -> None:
    assert parsed(PROJECT).project == Project(
        "acme-crm",
        {
            "local": Environment("local", EMULATOR_ORG, "local", emulator=True),
            "dev": Environment("dev", ORG, "dev"),
        },
        "dev",
        Limits(create=500, delete=0),
    )


def test_moves_and_imports_of_all_files_are_joined() -> None:
    manifests = parsed(
        PROJECT,
        Source("manifests/b.yaml", "---\nmoved: [{from: loyalty/x, to: loyalty/b}]\n"),
        loyalty("batches: {a: , b: }\nimports: [{to: loyalty/b, id: 01B}]\n", "manifests/a.yaml"),
    )
    assert manifests.imports == (
        Import("loyalty/a", "01A", Place("manifests/reconciler.yaml", 0, ("imports", 0))),
        Import("loyalty/b", "01B", Place("manifests/a.yaml", 0, ("imports", 0))),
    )
    assert manifests.moves == (Move("loyalty/x", "loyalty/b", Place("manifests/b.yaml", 0, ("moved", 0))),)


def test_a_batch_with_nothing_to_say() -> None:
    made = batches("batches: {a: , b: {}, c: null, d: ~}\n")
    assert set(made) == {"a", "b", "c", "d"}
    assert made["a"] == BatchManifest("a", {}, Lifecycle(), Place("manifests/loyalty.yaml", 0, ("batches", "a")))


def test_batches_share_what_their_defaults_give_them() -> None:
    made = batches(
        "defaults: {format: json, tags: {a: [b]}}\nbatches: {a: , b: {complete: true}, c: {tags: {c: [d]}}}\n"
    )
    assert made["a"].spec is made["b"].spec
    assert made["a"].lifecycle is made["c"].lifecycle
    assert made["c"].spec == {"format": "json", "tags": {"a": ["b"], "c": ["d"]}}


def test_an_empty_family_is_no_family() -> None:
    assert parsed(PROJECT, loyalty("batches:\n")).datasets[0].batches == ()


def test_lifecycle() -> None:
    rules = batches(
        "batches: {a: {lifecycle: {on_remove: delete, recreate_when: [failed], ignore: [tags]}}, b: {lifecycle: }}\n"
    )
    assert rules["a"].lifecycle == Lifecycle(OnRemove.DELETE, ("failed",), ignore_tags=True)
    assert rules["b"].lifecycle == Lifecycle(recreate_when=DEFAULT_RECREATE)


def test_texts_with_placeholders_are_read_once_wherever_they_come_from() -> None:
    made = batches(
        "defaults: {tags: {a: [x, '{k}']}, files: ['{k}/*']}\n"
        "batches: {a: {each: {j: [i], k: [l]}, external_id: 'e-{j}-{k}'}, b: {tags: {a: [y]}, files: ['{{']}}\n"
    )
    assert made["a"].templates == {"{k}": (1,), "{k}/*": (1, "/*"), "e-{j}-{k}": ("e-", 0, "-", 1)}
    assert made["b"].templates == {"{{": ("{",)}


def test_each() -> None:
    made = batches("batches: {a: {each: {region: [emea], day: {from: today, to: today}}}}\n")["a"]
    today = Moment(None)
    assert made.each == (("region", ("emea",)), ("day", Range(today, today, ONE_DAY)))


def test_ids_by_environment() -> None:
    manifests = parsed(PROJECT, Source("m.yaml", "dataset: a\nid: {dev: x}\n---\ndataset: b\nid: y\n"))
    first, second = manifests.datasets
    assert (first.id_in("dev"), first.id_in("local")) == ("x", None)
    assert (second.id_in("dev"), second.id_in("local")) == ("y", "y")


def test_formats_in_any_case_and_quoted_or_not() -> None:
    made = batches("batches: {a: {format: JSON}, b: {format: 'Csv', csv: {charset: 'utf-8'}}}\n")
    assert made["a"].spec == {"format": "json"}
    assert made["b"].spec == {"format": "csv", "csv": {"charset": "UTF-8"}}


def test_texts_are_plain_strings() -> None:
    spec = batches("batches: {a: {format: json, tags: {x: [y]}, external_id: 5}}\n")["a"]
    assert {type(spec.external_id), type(spec.spec["format"]), type(spec.spec["tags"]["x"][0]), type(spec.name)} == {
        str
    }


def test_the_order_of_files_does_not_matter() -> None:
    sources = [
        PROJECT,
        *(Source(f"manifests/{name}.yaml", f"dataset: {name}\nid: x\nbatches: {{b: }}\n") for name in "abc"),
    ]
    expected = parsed(*sources)
    random.Random(1).shuffle(sources)
    assert parsed(*sources) == expected


def test_mistakes_are_sorted_by_file_and_place() -> None:
    _, found = parse([loyalty("x: 1\na: 2\n", f"manifests/{name}.yaml") for name in "cab"])
    spans = [(each.span.file, each.span.line) for each in found if each.span and each.code == "unknown-field"]
    assert spans == [(f"manifests/{name}.yaml", line) for name in "abc" for line in (3, 4)]


def test_mistakes_that_need_the_whole_are_found_beside_others() -> None:
    bad = loyalty("batches: {a: {frmat: x}}\nmoved: [{from: loyalty/x, to: loyalty/x}]\n")
    other = Source("manifests/z.yaml", "moved: [{from: a/x, to: a/y}, {from: a/x, to: a/z}]\n")
    assert codes(PROJECT, bad, other) == ["unknown-field", "duplicate-move"]


def test_without_a_project_file_there_are_no_manifests() -> None:
    assert codes(loyalty("batches:\n")) == ["no-project-file"]
    assert codes() == ["no-project-file"]


def test_a_broken_project_file_does_not_hide_other_mistakes() -> None:
    assert codes(Source("manifests/reconciler.yaml", "project: ["), loyalty("x: 1\n")) == ["unknown-field", "not-yaml"]


def test_the_message_of_an_error_never_holds_the_library_s_words() -> None:
    fields = (
        "format: [], csv: x, tags: [], error_diagnostics: {}, each: x, files: x, complete: [], lifecycle: 5, "
        "partial_ingestion_percent: {}, replaces: x, external_id: {}"
    )
    _, found = parse([PROJECT, loyalty(f"batches: {{a: {{{fields}}}}}\n")])
    assert {each.code for each in found} == {"wrong-type"}
    assert len(found) == 11
    assert not [each for each in found if "should" in each.message or "valid" in each.message]


ENVIRONMENTS = {name: Environment(name, ORG, name) for name in ("dev", "prod")}


def test_the_environment_is_the_one_named_or_the_default_or_the_only_one() -> None:
    project = Project("p", ENVIRONMENTS, "dev")
    assert choose_environment(project, "prod").name == "prod"
    assert choose_environment(project, None).name == "dev"
    assert choose_environment(Project("p", {"prod": ENVIRONMENTS["prod"]}), None).name == "prod"


def test_an_unknown_environment_is_refused_with_a_guess() -> None:
    with pytest.raises(SettingsInvalid, match="`prd` is not an environment") as caught:
        choose_environment(Project("p", ENVIRONMENTS, "dev"), "prd")
    assert caught.value.hint == "did you mean `prod`? Environments: dev, prod"


def test_no_environment_is_chosen_by_guess() -> None:
    with pytest.raises(SettingsInvalid, match="no environment is chosen") as caught:
        choose_environment(Project("p", ENVIRONMENTS), None)
    assert caught.value.hint is not None
    assert "dev, prod" in caught.value.hint
