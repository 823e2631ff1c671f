//! JSON as far as the runtime claims need it. The parser is `serde_json`; this keeps every member of an object, so
//! that a second one of the same name is found, and bounds the depth.

use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Levels of objects and lists; a paravisor writes four.
const DEPTH: u8 = 8;

/// Why bytes are not JSON that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    DuplicateMember,
    Malformed,
    TooDeep,
}

/// A value. Numbers are not needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Array(Vec<Json>),
    Bool(bool),
    Null,
    Number,
    Object(Object),
    String(String),
}

/// Members in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object(Vec<(String, Json)>);

impl Object {
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    fn has_duplicates(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
            || self.0.iter().any(|(_, value)| value.has_duplicates())
    }
}

impl Json {
    fn has_duplicates(&self) -> bool {
        match self {
            Self::Array(values) => values.iter().any(Self::has_duplicates),
            Self::Object(object) => object.has_duplicates(),
            Self::Bool(_) | Self::Null | Self::Number | Self::String(_) => false,
        }
    }
}

/// Parses exactly one object. Its memory is a small multiple of the bytes, which the caller has bounded.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Object, JsonError> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = Value { levels: DEPTH }.deserialize(&mut parser).map_err(|error| {
        // Of the errors that are about the data and not the syntax, the visitor below makes the only one.
        if error.is_data() { JsonError::TooDeep } else { JsonError::Malformed }
    })?;
    parser.end().map_err(|_| JsonError::Malformed)?;
    match value {
        Json::Object(object) if object.has_duplicates() => Err(JsonError::DuplicateMember),
        Json::Object(object) => Ok(object),
        _ => Err(JsonError::Malformed),
    }
}

/// A value that may nest this many levels.
struct Value {
    levels: u8,
}

impl Value {
    fn below<E: serde::de::Error>(&self) -> Result<u8, E> {
        self.levels.checked_sub(1).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let levels = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(Value { levels })? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let levels = self.below()?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            members.push((name, map.next_value_seed(Value { levels })?));
        }
        Ok(Json::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> JsonError {
        parse_object(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn one_whole_object_is_read() {
        let object = parse_object(br#" {"a": [1, -1, 1.5, null, true, {"b": "\u0041"}]} "#).unwrap();
        let Some(Json::Array(values)) = object.member("a") else { panic!("a list") };
        assert_eq!(values[..5], [Json::Number, Json::Number, Json::Number, Json::Null, Json::Bool(true)]);
        assert_eq!(values[5], Json::Object(Object(vec![("b".to_owned(), Json::String("A".to_owned()))])));
        assert_eq!(object.member("b"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "{", "{}x", "{}{}", "[]", "1", "null", r#"{"a":1,}"#, "{'a':1}", "{\"a\":\"\u{1}\"}"]
        {
            assert_eq!(refusal(text), JsonError::Malformed, "{text}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}").unwrap_err(), JsonError::Malformed);
        assert_eq!(refusal(r#"{"a":1e9999}"#), JsonError::Malformed);
    }

    #[test]
    fn a_member_that_occurs_twice_is_found_at_every_level() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":1}"#, r#"{"x":[{"a":1,"a":2}]}"#] {
            assert_eq!(refusal(text), JsonError::DuplicateMember);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested =
            |levels: usize| [vec!["{\"a\":"; levels], vec!["1"], vec!["}"; levels]].concat().concat();
        parse_object(nested(8).as_bytes()).unwrap();
        assert_eq!(refusal(&nested(9)), JsonError::TooDeep);
        assert_eq!(refusal(&"{\"a\":".repeat(1600)), JsonError::TooDeep);
        assert_eq!(refusal(&format!("{{\"a\":{}", "[".repeat(8000))), JsonError::TooDeep);
    }
}
