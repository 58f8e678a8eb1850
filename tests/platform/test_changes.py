"""Actions and tags: after a lost answer the batch is read before anything is repeated, and no other tags are undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.core.errors import ConflictingWrite, NotFound, PlatformError, Rejected, Unauthorized
from reconciler.ports import TagsKept, Verb
from tests.platform.servers import API, Script, a_batch, body_of, talking_to
from tests.platform.virtual import run

if TYPE_CHECKING:
    from reconciler.core.batch import Json

OK = httpx.Response(200)


async def act(script: Script, action: Verb = Verb.ABORT) -> None:
    async with talking_to(script) as platform:
        await platform.ingestion.act("B1", action)


def shows(status: str) -> httpx.Response:
    return httpx.Response(200, json={"B1": a_batch(status)})


@pytest.mark.parametrize("action", Verb)
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        httpx.Response(200, text="1"),
        httpx.Response(200, json={"id": "B1", "status": "aborted"}),
        httpx.Response(204),
        httpx.Response(200, headers={"content-type": "text/html; charset=utf-8"}),
        httpx.Response(200, html="1"),
        httpx.Response(202, text="accepted"),
    ],
)
def test_any_success_will_do_whatever_its_body(action: Verb, answer: httpx.Response) -> None:
    script = Script(lambda _: answer)
    run(act(script, action))
    (request,) = script.requests
    assert (request.method, str(request.url)) == ("POST", f"{API}/import/batches/B1?action={action.value}")
    assert request.content == b""


@pytest.mark.parametrize(
    "page", [httpx.Response(200, text=" <html>Hello"), httpx.Response(200, html="\n<!doctype html>Sign in")]
)
def test_a_web_page_is_nobodys_success(page: httpx.Response) -> None:
    script = Script(page, shows("loading"), OK)  # a proxy answered in AEP's place: nothing was aborted
    run(act(script))
    assert script.methods == ["POST", "GET", "POST"]
    script = Script(page, shows("aborted"))
    run(act(script))
    assert script.methods == ["POST", "GET"]


def test_a_success_whose_body_breaks_off_is_one() -> None:
    def serve(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    script = Script(serve)
    run(act(script))
    assert len(script.requests) == 1


@pytest.mark.parametrize("lost", [httpx.ReadError("reset"), httpx.Response(502), httpx.ReadTimeout("slow")])
@pytest.mark.parametrize(
    ("action", "status"),
    [
        (Verb.ABORT, "aborted"),
        (Verb.ABORT, "Inactive"),
        (Verb.ABORT, "deleted"),
        (Verb.ABORT, "abandoned"),
        (Verb.ABORT, "failed"),
        (Verb.REVERT, "inactive"),
        (Verb.REVERT, "deleted"),
        (Verb.COMPLETE, "loaded"),
        (Verb.COMPLETE, "success"),
        (Verb.COMPLETE, "staging"),
    ],
)
def test_after_a_lost_answer_it_looks_and_finds_it_done(
    lost: httpx.Response | Exception, action: Verb, status: str
) -> None:
    script = Script(lost, shows(status))
    run(act(script, action))
    assert script.methods == ["POST", "GET"]


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(200, json={})])
def test_a_batch_that_two_witnesses_miss_after_a_lost_answer_is_gone(answer: httpx.Response) -> None:
    script = Script(httpx.ReadError("reset"), answer, httpx.Response(404))
    run(act(script, Verb.REVERT))
    assert script.methods == ["POST", "GET", "POST"]


@pytest.mark.parametrize("action", Verb)
def test_what_catalog_does_not_show_yet_after_a_lost_answer_is_asked_for_again(action: Verb) -> None:
    script = Script(httpx.ReadError("reset"), httpx.Response(404), OK)
    run(act(script, action))
    assert script.methods == ["POST", "GET", "POST"]


@pytest.mark.parametrize("refusal", [400, 404, 409])
def test_a_refusal_after_a_lost_answer_is_no_verdict_while_catalog_does_not_show_the_batch(refusal: int) -> None:
    absent = httpx.Response(404)
    look = [] if refusal == 404 else [absent]
    script = Script(httpx.ReadError("reset"), absent, httpx.Response(refusal), *look, shows("loaded"))
    run(act(script, Verb.COMPLETE))
    assert script.methods[-1] == "GET"
    assert script.methods.count("POST") == 2


@pytest.mark.parametrize(
    ("action", "status"), [(Verb.ABORT, "loading"), (Verb.REVERT, "success"), (Verb.COMPLETE, "loading")]
)
def test_after_a_lost_answer_it_looks_and_does_it_again(action: Verb, status: str) -> None:
    script = Script(httpx.ReadError("reset"), httpx.Response(503), shows(status), OK)
    run(act(script, action))
    assert script.methods == ["POST", "GET", "GET", "POST"]


@pytest.mark.parametrize("step", [httpx.Response(429), httpx.ConnectError("refused")])
def test_what_had_no_effect_is_repeated_without_a_look(step: httpx.Response | Exception) -> None:
    script = Script(step, step, OK)
    run(act(script))
    assert script.methods == ["POST", "POST", "POST"]


@pytest.mark.parametrize("status", [400, 409])
def test_a_refusal_of_what_is_done_already_is_fine(status: int) -> None:
    script = Script(httpx.Response(status), shows("aborted"))
    run(act(script))
    assert script.methods == ["POST", "GET"]


@pytest.mark.parametrize(
    ("refusal", "look", "error"),
    [
        (httpx.Response(400, json={"detail": "wrong state"}), shows("staging"), Rejected),
        (httpx.Response(409), shows("success"), ConflictingWrite),
        (httpx.Response(400), httpx.Response(500), Rejected),
        (httpx.Response(404), OK, NotFound),
        (httpx.Response(403), OK, Unauthorized),
        (httpx.Response(307, headers={"location": "https://evil.example"}), OK, Rejected),
    ],
)
def test_any_other_refusal_is_told(refusal: httpx.Response, look: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(PlatformError) as caught:
        run(act(Script(refusal, look)))
    assert type(caught.value) is error
    assert caught.value.status == refusal.status_code
    assert caught.value.hint


def test_what_is_no_id_is_not_acted_on() -> None:
    async def main() -> None:
        async with talking_to(Script(OK)) as platform:
            await platform.ingestion.act("../other", Verb.ABORT)

    with pytest.raises(Rejected):
        run(main())


# -- tags


class TaggedBatch:
    """A Catalog with one batch. Somebody else changes it `foreign` times, each between our read and our write."""

    def __init__(self, tags: dict[str, Json], *, foreign: int = 0, etag: str | None = "{}") -> None:
        self.tags = tags
        self.patch = 0
        self.foreign = foreign
        self.etag = etag
        self.requests: list[httpx.Request] = []
        self.lost_answers = 0

    @property
    def version(self) -> str:
        return f"1.0.{self.patch}"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.method == "GET":
            return self._get()
        wanted = request.headers["if-match"].strip('"')
        if self.foreign:
            self.foreign -= 1
            self.patch += 1
            self.tags = {**self.tags, f"foreign-{self.foreign}": ["x"]}
        if wanted != self.version:
            return httpx.Response(412)
        tags = body_of(request)["tags"]
        assert isinstance(tags, dict)
        self.tags, self.patch = self.make_of(tags), self.patch + 1
        if self.lost_answers:
            self.lost_answers -= 1
            raise httpx.ReadError("reset")
        return httpx.Response(200, json=["@/batches/B1"])

    def make_of(self, tags: dict[str, Json]) -> dict[str, Json]:
        """What becomes of tags that are written."""
        return tags

    def _get(self) -> httpx.Response:
        headers = {} if self.etag is None else {"etag": self.etag.format(self.version)}
        return httpx.Response(200, headers=headers, json={"B1": {"tags": self.tags, "version": self.version}})


async def change(
    server: TaggedBatch | Script, assign: dict[str, list[str]], remove: set[str] | None = None
) -> TagsKept | None:
    async with talking_to(server) as platform:
        return await platform.ingestion.change_tags("B1", assign, remove or set())


@pytest.mark.parametrize("etag", ["{}", '"{}"', 'W/"{}"', None])
def test_tags_are_merged_under_the_version_that_was_read(etag: str | None) -> None:
    server = TaggedBatch({"acp_producer": ["x"], "flag": True, "empty": [], "team": ["old"], "gone": ["y"]}, etag=etag)
    run(change(server, {"team": ["crm"]}, {"gone"}))
    assert server.tags == {"acp_producer": ["x"], "flag": True, "empty": [], "team": ["crm"]}
    read, write, read_back = server.requests
    assert read_back.url == read.url
    assert (read.method, str(read.url)) == ("GET", f"{API}/catalog/batches/B1")
    assert (write.method, str(write.url)) == ("PATCH", f"{API}/catalog/batches/B1")
    assert write.headers["content-type"] == "application/json"
    assert write.headers["if-match"].strip('"') == "1.0.0"
    assert body_of(write).keys() == {"tags"}


def test_what_is_so_already_is_not_written() -> None:
    server = TaggedBatch({"team": ["crm"]})
    run(change(server, {"team": ["crm"]}, {"never"}))
    assert [request.method for request in server.requests] == ["GET"]


def test_a_faster_hand_is_merged_too() -> None:
    server = TaggedBatch({"team": ["old"]}, foreign=3)
    run(change(server, {"team": ["crm"]}))
    assert server.tags == {"team": ["crm"], "foreign-0": ["x"], "foreign-1": ["x"], "foreign-2": ["x"]}


def test_a_hand_that_is_always_faster_is_a_conflict() -> None:
    server = TaggedBatch({"team": ["old"]}, foreign=100)
    with pytest.raises(ConflictingWrite) as caught:
        run(change(server, {"team": ["crm"]}))
    assert len(server.requests) == 10
    assert "another hand" in (caught.value.hint or "")


class Merging(TaggedBatch):
    """A tag that a PATCH does not name stays."""

    def make_of(self, tags: dict[str, Json]) -> dict[str, Json]:
        return {**self.tags, **tags}


class Rewriting(TaggedBatch):
    def make_of(self, tags: dict[str, Json]) -> dict[str, Json]:
        return {name: [str(v).replace(":", "_") for v in values or []] for name, values in tags.items()}  # type: ignore[union-attr]


class Forgetting(TaggedBatch):
    """Keeps only the tags of the last name."""

    def make_of(self, tags: dict[str, Json]) -> dict[str, Json]:
        return dict([*tags.items()][-1:])


class Deaf(TaggedBatch):
    """Says yes and does nothing."""

    def make_of(self, tags: dict[str, Json]) -> dict[str, Json]:  # noqa: ARG002  (it does not listen)
        return self.tags


class Spelling(TaggedBatch):
    """Sorts, trims and lower-cases values, and keeps each once; a single one becomes a bare text."""

    def make_of(self, tags: dict[str, Json]) -> dict[str, Json]:
        spelt = {n: sorted({str(v).strip().lower() for v in values or []}) for n, values in tags.items()}  # type: ignore[union-attr]
        return {name: [*values] if len(values) > 1 else values[0] for name, values in spelt.items()}


@pytest.mark.parametrize(
    ("server", "tags", "said"),
    [
        (TaggedBatch({"x": ["y"], "gone": ["z"]}), None, ()),
        (Spelling({"x": ["y"], "gone": ["z"]}), None, ()),
        (Merging({"x": ["y"], "gone": ["z"]}), {"team": [" b:2 ", "A", "A"]}, ("`gone` is still there",)),
        (
            Rewriting({"x": ["y"], "gone": ["z"]}),
            {"team": [" b_2 ", "A", "A"]},
            ('`team` is [" b_2 ", "A", "A"] where [" b:2 ", "A", "A"] was written',),
        ),
        (Forgetting({"x": ["y"], "gone": ["z"]}), {"team": [" b:2 ", "A", "A"]}, ("`x`", "is gone")),
        (Deaf({"x": ["y"], "gone": ["z"]}), {}, ("`team` is [] where", "`gone` is still there")),
    ],
)
def test_tags_are_read_back(server: TaggedBatch, tags: dict[str, list[str]] | None, said: tuple[str, ...]) -> None:
    kept = run(change(server, {"team": [" b:2 ", "A", "A"]}, {"gone"}))
    assert (None if kept is None else kept.tags) == tags
    assert [text for text in said if text not in (kept.complaint if kept else "")] == []
    assert [request.method for request in server.requests].count("PATCH") == 1


def test_a_complaint_about_many_tags_is_cut() -> None:
    kept = run(change(Deaf({}), {f"tag-{number}": ["x" * 5_000] for number in range(50)}))
    assert kept is not None
    assert len(kept.complaint) <= 300


def test_tags_that_are_shown_late_are_waited_for() -> None:
    server = TaggedBatch({"team": ["old"]})
    shown = iter([{"team": ["old"]}, {"team": ["old"]}, {"team": ["old"]}, {"team": ["crm"]}])

    def serve(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        if request.method == "GET":
            return httpx.Response(200, json={"B1": {"tags": next(shown), "version": "1.0.0"}})
        return answer

    async def main() -> TagsKept | None:
        async with talking_to(serve) as platform:
            return await platform.ingestion.change_tags("B1", {"team": ["crm"]}, ())

    assert run(main()) is None


def test_a_batch_that_is_not_shown_for_a_moment_after_its_change_is_not_gone() -> None:
    server = TaggedBatch({"team": ["old"]})
    absences = iter([False, True, True, False])

    def serve(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        return httpx.Response(404) if request.method == "GET" and next(absences) else answer

    async def main() -> TagsKept | None:
        async with talking_to(serve) as platform:
            return await platform.ingestion.change_tags("B1", {"team": ["crm"]}, ())

    assert run(main()) is None


def test_a_lost_answer_is_looked_into() -> None:
    server = TaggedBatch({"team": ["old"]})
    server.lost_answers = 1
    run(change(server, {"team": ["crm"]}))
    assert [request.method for request in server.requests] == ["GET", "PATCH", "GET"]
    assert server.patch == 1


def test_without_a_version_nothing_is_overwritten() -> None:
    script = Script(httpx.Response(200, json={"B1": {"tags": {}}}))
    with pytest.raises(Rejected, match="no version"):
        run(change(script, {"team": ["crm"]}))
    assert script.methods == ["GET"]


def test_without_permission_the_hint_says_what_to_do() -> None:
    script = Script(shows("loading"), httpx.Response(403, json={"title": "Forbidden"}))
    with pytest.raises(Unauthorized) as caught:
        run(change(script, {"team": ["crm"]}))
    assert "ignore: [tags]" in (caught.value.hint or "")


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(200, json={})])
def test_tags_of_a_batch_that_is_gone(answer: httpx.Response) -> None:
    with pytest.raises(NotFound) as caught:
        run(change(Script(answer), {"team": ["crm"]}))
    assert caught.value.hint
