//! Values: bytes as they are, or named fields; in one piece of memory each.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::Error as _};
use zeroize::Zeroizing;

use crate::limits::{KV_FIELDS, KV_VALUE_LEN, NAME_LEN};

/// A secret value on its way through the inner session. Wiped on drop and never printed; it can be encoded
/// because that is what it is for, so only messages of the inner session contain one.
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl Serialize for SecretValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    /// In one piece: a vector that grew would leave parts of the secret behind.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(deserializer).map(Self::new)
    }
}

impl SecretValue {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, borrowed at the last moment.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValue({} bytes)", self.0.len())
    }
}

/// What a version of a secret holds.
#[derive(Debug, Serialize, Deserialize)]
pub enum KvValue {
    /// Bytes as they came, at most [`KV_VALUE_LEN`].
    Bytes(SecretValue),
    /// Named fields, which can be merged without anybody reading them.
    Fields(KvFields),
}

impl KvValue {
    /// The bytes that it is kept in, borrowed at the last moment.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        match self {
            Self::Bytes(value) => value.expose_secret(),
            Self::Fields(fields) => fields.0.expose_secret(),
        }
    }
}

impl From<SecretValue> for KvValue {
    fn from(value: SecretValue) -> Self {
        Self::Bytes(value)
    }
}

impl From<KvFields> for KvValue {
    fn from(fields: KvFields) -> Self {
        Self::Fields(fields)
    }
}

/// Name of a field, or of an item of custom metadata: 1 to [`NAME_LEN`] of `A-Z a-z 0-9 - _ .`. Case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KvName(Box<str>);

/// A text is no [`KvName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")]
pub struct KvNameError;

impl KvName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), KvNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=NAME_LEN).contains(&text.len());
        if fits && text.bytes().all(allowed) { Ok(()) } else { Err(KvNameError) }
    }
}

impl FromStr for KvName {
    type Err = KvNameError;

    fn from_str(text: &str) -> Result<Self, KvNameError> {
        Self::check(text).map(|()| Self(text.into()))
    }
}

impl TryFrom<String> for KvName {
    type Error = KvNameError;

    fn try_from(text: String) -> Result<Self, KvNameError> {
        text.parse()
    }
}

impl From<KvName> for String {
    fn from(name: KvName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for KvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Named fields in one piece of memory, wiped on drop and never printed.
///
/// For each field, in ascending order of names, each name once: length of the name (1 byte), the name, length of
/// the value (4 bytes, big-endian), the value. At most [`KV_FIELDS`] fields and [`KV_VALUE_LEN`] bytes.
pub struct KvFields(SecretValue);

/// Why bytes are no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvFieldsError {
    /// Cut short, a name that is none, or names out of order.
    #[error("the fields are malformed")]
    Malformed,
    /// More than [`KV_FIELDS`].
    #[error("a secret has at most 256 fields")]
    TooMany,
    /// More than [`KV_VALUE_LEN`] bytes.
    #[error("the fields of a secret take at most 1 MiB")]
    TooLong,
}

impl KvFields {
    /// Puts fields together.
    ///
    /// # Errors
    /// [`KvFieldsError::TooMany`], [`KvFieldsError::TooLong`].
    pub fn new(fields: &BTreeMap<KvName, SecretValue>) -> Result<Self, KvFieldsError> {
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        Self::collect(&fields.collect())
    }

    /// Takes fields in the form above; every byte is accounted for.
    ///
    /// # Errors
    /// [`KvFieldsError`].
    pub fn parse(bytes: SecretValue) -> Result<Self, KvFieldsError> {
        if bytes.expose_secret().len() > KV_VALUE_LEN {
            return Err(KvFieldsError::TooLong);
        }
        let (mut rest, mut last, mut count) = (bytes.expose_secret(), "", 0);
        while !rest.is_empty() {
            let (name, _, after) = split(rest).ok_or(KvFieldsError::Malformed)?;
            if name <= last || KvName::check(name).is_err() {
                return Err(KvFieldsError::Malformed);
            }
            (rest, last, count) = (after, name, count + 1);
            if count > KV_FIELDS {
                return Err(KvFieldsError::TooMany);
            }
        }
        Ok(Self(bytes))
    }

    /// Names and values, in ascending order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = self.0.expose_secret();
        std::iter::from_fn(move || {
            let (name, value, after) = split(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The value of one field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }

    /// These fields with those of `set` in place of their own, and without those of `remove`.
    ///
    /// # Errors
    /// [`KvFieldsError::TooMany`], [`KvFieldsError::TooLong`].
    pub fn merged(&self, set: &Self, remove: &[KvName]) -> Result<Self, KvFieldsError> {
        let mut fields: BTreeMap<&str, &[u8]> = self.iter().collect();
        fields.retain(|name, _| remove.iter().all(|gone| gone.as_str() != *name));
        fields.extend(set.iter());
        Self::collect(&fields)
    }

    /// Sized once: a vector that grew would leave parts of a secret behind.
    fn collect(fields: &BTreeMap<&str, &[u8]>) -> Result<Self, KvFieldsError> {
        if fields.len() > KV_FIELDS {
            return Err(KvFieldsError::TooMany);
        }
        let len: usize = fields.iter().map(|(name, value)| 5 + name.len() + value.len()).sum();
        if len > KV_VALUE_LEN {
            return Err(KvFieldsError::TooLong);
        }
        let mut bytes = Vec::with_capacity(len);
        for (name, value) in fields {
            // Names and values are below their limits here.
            bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        Ok(Self(SecretValue::new(bytes)))
    }
}

fn split(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*len))?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    Some((core::str::from_utf8(name).ok()?, value, rest))
}

impl Serialize for KvFields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KvFields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(SecretValue::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Debug for KvFields {
    /// Neither names nor values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KvFields({} fields)", self.iter().count())
    }
}
