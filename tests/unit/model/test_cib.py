"""The border to Pacemaker: what is read, what is refused and with which line."""

import pytest

from daemon.model.cib import epoch_of, read_cib, read_configuration, write_cib
from daemon.model.configuration import (
    AttributeSet,
    Clone,
    Configuration,
    Group,
    Location,
    Primitive,
)
from daemon.model.findings import Refused


def cib(inner: str = "", *, root: str = 'epoch="7" admin_epoch="0" num_updates="0"') -> str:
    return f"<cib {root}>\n<configuration>\n{inner}\n</configuration>\n<status/>\n</cib>"


def resources(inner: str) -> str:
    return cib(f"<crm_config/><nodes/><resources>{inner}</resources><constraints/>")


def refused(document: str | bytes) -> list[str]:
    with pytest.raises(Refused) as caught:
        read_cib(document)
    return [f"{finding.code}: {finding.message}" for finding in caught.value.findings]


def test_an_empty_cib_is_an_empty_configuration() -> None:
    file = read_cib(cib())
    assert file.configuration == Configuration()
    assert (file.epoch, file.base_epoch, file.warnings) == (7, 7, ())


def test_a_file_names_the_epoch_it_was_exported_with_however_often_it_was_edited() -> None:
    exported = write_cib(Configuration(), epoch=7)
    assert epoch_of(exported) == 7
    edited = read_cib(exported).edited(Configuration()).replace(b'epoch="8"', b'epoch="23"')
    assert read_cib(edited).epoch == 23
    assert epoch_of(edited) == 7


def test_what_is_not_xml_is_refused_with_its_line() -> None:
    assert refused("<cib>\n<configuration>\n</cib>") == [
        "not-xml: the document is not well-formed XML: mismatched tag: line 3, column 2"
    ]
    assert refused(b"\xff\xfe\x00junk")[0].startswith("not-xml")
    assert refused("")[0].startswith("not-xml")


def test_another_root_is_refused() -> None:
    assert refused("<html/>") == ["not-a-cib: the document is not a CIB, its root element is <html>"]


@pytest.mark.parametrize("root", ["", 'epoch="x"', 'epoch="-1"'])
def test_a_cib_without_a_proper_epoch_is_refused(root: str) -> None:
    assert refused(cib(root=root))[0].startswith("bad-epoch")


def test_a_cib_without_configuration_is_refused() -> None:
    assert refused('<cib epoch="1"/>') == ["no-configuration: the CIB has no <configuration>"]


def test_a_document_bomb_and_an_external_entity_are_refused_unread() -> None:
    bomb = '<!DOCTYPE cib [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><cib epoch="1">&b;</cib>'
    thief = '<!DOCTYPE cib [<!ENTITY x SYSTEM "file:///etc/passwd">]><cib epoch="1">&x;</cib>'
    assert refused(bomb)[0].startswith("xml-doctype")
    assert refused(thief)[0].startswith("xml-doctype")


def test_elements_nested_without_end_are_refused() -> None:
    assert refused("<a>" * 100 + "</a>" * 100)[0].startswith("too-deep")


def test_everything_wrong_with_the_form_is_told_at_once_with_lines() -> None:
    found = refused(
        resources(
            '\n<primitive id="a" class="ocf"/>\n<widget id="w"/>\n<primitive id="a"/>\n<clone id="c"><op/></clone>'
        )
    )
    assert found == [
        "unknown-element: line 5: <widget> is not known inside <resources>",
        "unknown-element: line 7: <op> is not known inside <clone>",
        "duplicate-id: line 6: id 'a' of <primitive> is already used by <primitive> in line 4",
    ]


def test_a_missing_id_and_an_invalid_choice_are_named() -> None:
    found = refused(cib('<constraints>\n<rsc_order first="a" then="b" kind="Sometimes"/>\n</constraints>'))
    assert found == [
        "missing-attribute: line 4: <rsc_order> lacks the attribute 'id'",
        "bad-value: line 4: 'Sometimes' is not a valid kind of <rsc_order>",
    ]


def test_a_clone_of_nothing_is_refused() -> None:
    assert refused(resources('<clone id="c"/>')) == ["bad-clone: line 3: <clone> 'c' contains 0 resources"]


def test_a_reference_to_nothing_and_one_to_itself_are_refused() -> None:
    found = refused(resources('<primitive id="a"><operations id-ref="gone"/></primitive>'))
    assert found == [
        "dangling-id-ref: line 3: <operations id-ref='gone'>: a <operations> of that id does not exist"
    ]
    ring = '<rsc_location id="l" rsc="a"><rule id="r"><rule id-ref="r"/></rule></rsc_location>'
    assert "contains this reference" in refused(cib(f"<constraints>{ring}</constraints>"))[0]


def test_what_is_referred_to_is_repeated_and_written_as_a_reference_again() -> None:
    text = resources(
        '<primitive id="a">'
        '<instance_attributes id="s"><nvpair id="p" name="ip" value="192.0.2.1"/></instance_attributes>'
        '<operations id="ops"><op id="m" name="monitor" interval="10s"/></operations></primitive>'
        '<primitive id="b"><instance_attributes id-ref="s"/><operations id-ref="ops"/></primitive>'
        '<primitive id="c">'
        '<instance_attributes id="t"><nvpair id-ref="p" name="address"/></instance_attributes></primitive>'
    )
    configuration = read_configuration(text)
    b, c = configuration.find("b"), configuration.find("c")
    assert isinstance(b, Primitive)
    assert isinstance(c, Primitive)
    assert b.instance[0].values == {"ip": "192.0.2.1"}
    assert b.operations[0].interval == "10s"
    assert c.instance[0].values == {"address": "192.0.2.1"}
    written = write_cib(configuration, epoch=1)
    assert b'<operations id-ref="ops" />' in written
    assert b'<nvpair id-ref="p" name="address" />' in written
    assert read_configuration(written) == configuration


def test_a_name_given_twice_counts_once_and_is_told() -> None:
    pairs = '<nvpair id="x" name="n" value="1"/><nvpair id="y" name="n" value="2"/>'
    sets = f'<meta_attributes id="m">{pairs}</meta_attributes>'
    file = read_cib(resources(f'<primitive id="a">{sets}</primitive>'))
    found = file.configuration.find("a")
    assert found is not None
    assert found.meta[0].values == {"n": "1"}
    assert [str(finding) for finding in file.warnings] == [
        "Warning: line 3: 'n' of 'm' is given twice, the first one counts"
    ]


def test_an_unknown_attribute_is_passed_over_but_told() -> None:
    file = read_cib(resources('<primitive id="a" colour="red"/>'))
    assert [finding.code for finding in file.warnings] == ["unknown-attribute"]


def test_old_and_rare_syntax_survives() -> None:
    text = cib(
        '<resources><master id="ms"><group id="g"><primitive id="p" template="t"/></group></master>'
        '<template id="t" class="ocf" provider="x" type="y"/>'
        '<bundle id="bu"><podman image="i"/>'
        '<primitive id="inner" class="ocf" provider="x" type="y"/></bundle></resources>'
        '<constraints><rsc_location id="l" rsc="g"><rule id="r" role="Master" score-attribute="s" boolean-op="or">'
        '<date_expression id="d" operation="date_spec"><date_spec id="ds" hours="9-17"/></date_expression>'
        '<rule id="r2"><expression id="e" attribute="a" operation="defined"/></rule></rule>'
        '<lifetime><rule id="r3"><date_expression id="d3" operation="lt" end="2030-01-01"/></rule></lifetime>'
        "</rsc_location>"
        '<rsc_ticket id="ti" rsc="p" ticket="T" loss-policy="stop"/></constraints>'
        '<tags><tag id="tg"><obj_ref id="p"/></tag></tags>'
        '<fencing-topology><fencing-level id="f" target="n" index="1" devices="a,b"/></fencing-topology>'
        '<acls><acl_role id="ro"><acl_permission id="pe" kind="read" xpath="/cib"/></acl_role></acls>'
        '<alerts><alert id="al" path="/x"><recipient id="re" value="y"/></alert></alerts>'
    )
    configuration = read_configuration(text)
    master = configuration.find("ms")
    assert isinstance(master, Clone)
    assert master.legacy_master
    assert isinstance(master.child, Group)
    location = configuration.constraints[0]
    assert isinstance(location, Location)
    assert location.lifetime[0].expressions[0].end == "2030-01-01"
    assert len(configuration.extras) == 3
    assert read_configuration(write_cib(configuration, epoch=3)) == configuration


def test_ids_of_pairs_are_made_as_pcs_makes_them_and_never_twice() -> None:
    twin = Configuration(
        resources=(
            Primitive(
                id="a",
                standard="ocf",
                provider="x",
                type="y",
                instance=(AttributeSet(id="s", values={"a b": "1", "ab": "2", "quote": "<&\"'\n\t"}),),
                meta=(AttributeSet(id="s-ab", values={}),),
            ),
        )
    )
    written = write_cib(twin, epoch=1)
    assert b'id="s-ab-1"' in written
    assert b'id="s-ab-2"' in written
    assert read_configuration(written) == twin


def test_a_str_that_names_another_encoding_is_still_text() -> None:
    document = '<?xml version="1.0" encoding="iso-8859-1"?>' + resources('<primitive id="a" description="Ω"/>')
    found = read_configuration(document).find("a")
    assert found is not None
    assert found.description == "Ω"
