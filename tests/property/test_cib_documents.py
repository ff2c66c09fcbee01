"""The reader meets bytes of any kind: it answers with a configuration or with findings, never with a crash."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.model.cib import epoch_of, read_cib, read_configuration, write_cib
from daemon.model.cib_shape import SHAPES
from daemon.model.configuration import AttributeSet, Configuration, Primitive
from daemon.model.findings import Refused
from daemon.model.validation import validate

XML_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="￾￿"))
TAGS = st.sampled_from([*SHAPES, "cib", "status", "widget", "bundle", "acls"])
NAMES = st.sampled_from(
    ["id", "id-ref", "name", "value", "rsc", "score", "first", "then", "boolean-op", "epoch", "uname"]
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 4) -> str:
    drawn = draw(st.dictionaries(NAMES, st.sampled_from("abcd"), max_size=4))
    attributes = "".join(f' {name}="{value}"' for name, value in drawn.items())
    inner = "".join(draw(st.lists(elements(depth=depth - 1), max_size=3))) if depth else ""
    tag = draw(TAGS)
    return f"<{tag}{attributes}>{inner}</{tag}>"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"<?xml version='1.0' encoding='no-such'?><cib epoch='1'/>")
@example(b"<?xml version='1.0' encoding='utf-16'?><cib epoch='1'/>")
def test_any_bytes_are_read_or_refused(document: bytes) -> None:
    try:
        read_cib(document)
    except Refused as refused:
        said = [finding.message for finding in refused.findings]
        if not all(said) or not said:
            raise


@settings(max_examples=300, deadline=None)
@given(st.lists(elements(), max_size=4))
def test_any_elements_are_read_or_refused_and_what_is_read_survives(inner: list[str]) -> None:
    document = f'<cib epoch="3"><configuration>{"".join(inner)}</configuration></cib>'
    try:
        configuration = read_configuration(document)
    except Refused as refused:
        if not refused.findings:
            raise
        return
    validate(configuration)
    assert read_configuration(write_cib(configuration, epoch=4)) == configuration


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(XML_TEXT.filter(bool), XML_TEXT, max_size=5),
    XML_TEXT,
    st.integers(0, 10**12),
)
def test_any_text_survives_the_way_through_xml(values: dict[str, str], description: str, epoch: int) -> None:
    configuration = Configuration(
        resources=(
            Primitive(
                id="p",
                standard="ocf",
                provider="a",
                type="b",
                description=description,
                instance=(AttributeSet(id="s", values=values),),
            ),
        )
    )
    document = write_cib(configuration, epoch=epoch)
    assert read_configuration(document) == configuration
    assert epoch_of(document) == epoch
