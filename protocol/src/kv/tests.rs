use std::collections::BTreeMap;

use super::*;
use crate::codec::{self, CodecError};
use crate::limits::{KV_CLASSES, KV_CUSTOM, KV_FIELDS, KV_VALUE_LEN, KV_WATCHES, SESSION_FRAME_LEN};
use crate::session::Request;

fn name(text: &str) -> KvName {
    text.parse().unwrap()
}

fn fields(all: &[(&str, &[u8])]) -> KvFields {
    KvFields::new(&all.iter().map(|(key, value)| (name(key), SecretValue::new(value.to_vec()))).collect())
        .unwrap()
}

fn parse(bytes: &[u8]) -> Result<KvFields, KvFieldsError> {
    KvFields::parse(SecretValue::new(bytes.to_vec()))
}

#[test]
fn fields_have_one_form() {
    let both = fields(&[("b", b"2"), ("a", b"")]);
    let bytes = KvValue::from(both).expose_secret().to_vec();
    assert_eq!(bytes, b"\x01a\0\0\0\0\x01b\0\0\0\x012");
    assert_eq!(parse(&bytes).unwrap().iter().collect::<Vec<_>>(), [("a", b"".as_slice()), ("b", b"2")]);
    assert_eq!(parse(&bytes).unwrap().field("b"), Some(b"2".as_slice()));
    assert_eq!(parse(&bytes).unwrap().field("c"), None);
    assert!(parse(b"").unwrap().is_empty());
    for len in (1..bytes.len()).filter(|len| *len != 6) {
        assert_eq!(parse(&bytes[..len]).err(), Some(KvFieldsError::Malformed), "{len}");
    }
    for wrong in [
        b"\x01b\0\0\0\0\x01a\0\0\0\0".as_slice(),
        b"\x01a\0\0\0\0\x01a\0\0\0\0",
        b"\0\0\0\0\0",
        b"\x01/\0\0\0\0",
        b"\x02\xc3\xa4\0\0\0\0",
        b"\x01\xff\0\0\0\0",
        b"\x01a\xff\xff\xff\xff",
    ] {
        assert_eq!(parse(wrong).err(), Some(KvFieldsError::Malformed), "{wrong:?}");
    }
    // A value is never in what is printed.
    let shown = format!("{:?}", fields(&[("password", b"hunter2")]));
    assert_eq!(shown, "KvFields(1 fields)");
}

#[test]
fn fields_have_limits() {
    let many = |count: usize| -> BTreeMap<KvName, SecretValue> {
        (0..count).map(|index| (name(&format!("f{index:04}")), SecretValue::new(vec![]))).collect()
    };
    assert!(KvFields::new(&many(KV_FIELDS)).is_ok());
    assert_eq!(KvFields::new(&many(KV_FIELDS + 1)).err(), Some(KvFieldsError::TooMany));
    let large = |len| BTreeMap::from([(name("a"), SecretValue::new(vec![0; len]))]);
    assert!(KvFields::new(&large(KV_VALUE_LEN - 6)).is_ok());
    assert_eq!(KvFields::new(&large(KV_VALUE_LEN - 5)).err(), Some(KvFieldsError::TooLong));
    assert_eq!(parse(&vec![0; KV_VALUE_LEN + 1]).err(), Some(KvFieldsError::TooLong));
    let one_too_many: Vec<u8> = (0..=KV_FIELDS)
        .flat_map(|index| [b"\x05f".as_slice(), format!("{index:04}").as_bytes(), &[0; 4]].concat())
        .collect();
    assert_eq!(parse(&one_too_many).err(), Some(KvFieldsError::TooMany));
}

#[test]
fn a_merge_sets_and_removes() {
    let before = fields(&[("a", b"1"), ("b", b"2"), ("c", b"3")]);
    let merged = before.merged(&fields(&[("b", b"two"), ("d", b"4")]), &[name("a"), name("none")]).unwrap();
    assert_eq!(merged.iter().collect::<Vec<_>>(), [("b", b"two".as_slice()), ("c", b"3"), ("d", b"4")]);
    // What is set stays, whatever is removed.
    let merged = before.merged(&fields(&[("a", b"new")]), &[name("a")]).unwrap();
    assert_eq!(merged.field("a"), Some(b"new".as_slice()));
}

#[test]
fn v1_names_have_one_form() {
    for text in ["a", "A-b_c.9", "..", &"x".repeat(64)] {
        assert!(text.parse::<KvName>().is_ok(), "{text}");
    }
    for text in ["", " ", "a b", "a/b", "a=b", "a\n", "a\0", "\u{e4}", &"x".repeat(65)] {
        assert!(text.parse::<KvName>().is_err(), "{text:?}");
    }
}

/// A frame of items that take one byte each, where the request that is decoded would take eight or more of each: it is
/// refused before they are made.
#[test]
fn v6_a_list_beyond_its_limit_is_refused_while_it_is_read() {
    let request = |versions| KvRequest::Delete { path: "kv/a".parse().unwrap(), versions };
    let encode = |request: KvRequest| codec::encode(&Request::Kv(request)).unwrap();
    let most = encode(request(vec![1; KV_VERSIONS]));
    assert!(codec::decode::<Request>(&most, SESSION_FRAME_LEN).is_ok());
    for count in [KV_VERSIONS + 1, 1_000_000] {
        let bytes = encode(request(vec![1; count]));
        assert_eq!(codec::decode::<Request>(&bytes, SESSION_FRAME_LEN).err(), Some(CodecError::Malformed));
    }
    let removes = |count| KvRequest::Patch {
        path: "kv/a".parse().unwrap(),
        set: fields(&[]),
        remove: vec![name("a"); count],
        cas: Cas::Any,
        ttl_secs: None,
    };
    let customs = |count| KvRequest::Configure {
        scope: KvScope::Secret("kv/a".parse().unwrap()),
        edits: Box::new(KvEdits { custom: vec![(name("a"), None); count], ..KvEdits::default() }),
    };
    let class = || KvClass { characters: String::new(), minimum: 0 };
    let classes = |count| KvRequest::Generate {
        path: "kv/a".parse().unwrap(),
        generator: KvGenerator {
            rule: KvRule::Password { length: 8, classes: (0..count).map(|_| class()).collect() },
            every_secs: None,
            grace_secs: None,
        },
        cas: Cas::Any,
    };
    for (most, more) in [
        (removes(KV_FIELDS), removes(KV_FIELDS + 1)),
        (customs(KV_CUSTOM), customs(KV_CUSTOM + 1)),
        (classes(KV_CLASSES), classes(KV_CLASSES + 1)),
    ] {
        assert!(codec::decode::<Request>(&encode(most), SESSION_FRAME_LEN).is_ok());
        assert_eq!(
            codec::decode::<Request>(&encode(more), SESSION_FRAME_LEN).err(),
            Some(CodecError::Malformed)
        );
    }
    let notice = |count| KvNotice { versions: vec![("kv/a".parse().unwrap(), 1); count] };
    let decode =
        |count| codec::decode::<KvNotice>(&codec::encode(&notice(count)).unwrap(), SESSION_FRAME_LEN);
    assert!(decode(KV_WATCHES).is_ok() && decode(KV_WATCHES + 1).is_err());
}

#[test]
fn settings_are_edited_one_by_one() {
    let before = KvSettings {
        max_versions: Some(3),
        cas: Some(KvCasRule::Required),
        custom: BTreeMap::from([(name("a"), "1".to_owned()), (name("b"), "2".to_owned())]),
        ..KvSettings::default()
    };
    assert_eq!(before.clone().edited(KvEdits::default()), before);
    let edits = KvEdits {
        max_versions: Edit::Clear,
        delete_after_secs: Edit::Set(5),
        custom: vec![(name("a"), None), (name("c"), Some("3".to_owned()))],
        ..KvEdits::default()
    };
    let after = before.edited(edits);
    assert_eq!(
        (after.max_versions, after.cas, after.delete_after_secs),
        (None, Some(KvCasRule::Required), Some(5))
    );
    assert_eq!(after.custom.keys().map(KvName::as_str).collect::<Vec<_>>(), ["b", "c"]);
}
