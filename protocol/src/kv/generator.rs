//! Generators: what the vault makes itself, and when.

use serde::{Deserialize, Serialize};

use super::bounded;
use crate::limits::{KV_CLASSES, KV_GENERATED_LEN, KV_PERIOD_SECS};

/// What makes a secret's versions, and when the vault does so by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvGenerator {
    /// What is made.
    pub rule: KvRule,
    /// The vault makes the next version this long after the last, in seconds, within [`KV_PERIOD_SECS`].
    pub every_secs: Option<u64>,
    /// The version before stays readable this long, in seconds; without, as long as any old version.
    pub grace_secs: Option<u64>,
}

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvRule {
    /// Random bytes in lower-case hexadecimal digits.
    Hex {
        /// Bytes, 8 to [`KV_GENERATED_LEN`]; there are twice as many digits.
        bytes: u16,
    },
    /// A key pair, as the fields `private` (PKCS#8, DER) and `public` (SubjectPublicKeyInfo, DER).
    KeyPair(KvKeyKind),
    /// Characters: the minimum of each class, the rest of all classes, in random order.
    Password {
        /// Characters, 8 to [`KV_GENERATED_LEN`].
        length: u16,
        /// What it is made of; 1 to [`KV_CLASSES`].
        #[serde(deserialize_with = "bounded::list::<_, _, KV_CLASSES>")]
        classes: Vec<KvClass>,
    },
    /// A random UUID (RFC 9562, section 5.4) in its text form.
    Uuid,
}

/// Kinds of key pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvKeyKind {
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// ECDSA P-256 (RFC 5480).
    P256,
}

/// Characters of a password, and how many of them there are at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvClass {
    /// Printable ASCII, each once in all classes together.
    pub characters: String,
    /// At least this many of them.
    pub minimum: u16,
}

/// Why a generator is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvGeneratorError {
    /// Length of what is made.
    #[error("a generated secret has 8 to 256 bytes or characters")]
    Length,
    /// A class.
    #[error("a password is made of 1 to 8 classes of printable ASCII, each character in one class and once")]
    Classes,
    /// All characters are the same.
    #[error("a password is made of at least 2 different characters")]
    Alphabet,
    /// The minimums do not fit.
    #[error("the minimums of the classes are more than the password is long")]
    Minimum,
    /// Period of rotation.
    #[error("a secret is rotated every 60 seconds to every 10 years")]
    Period,
    /// Grace.
    #[error("the time of grace is at most 10 years")]
    Grace,
}

impl KvGenerator {
    /// Checks every number of it.
    ///
    /// # Errors
    /// [`KvGeneratorError`], by what is beyond its limit.
    pub fn check(&self) -> Result<(), KvGeneratorError> {
        let Self { rule, every_secs, grace_secs } = self;
        if every_secs.is_some_and(|secs| !KV_PERIOD_SECS.contains(&secs)) {
            return Err(KvGeneratorError::Period);
        }
        if grace_secs.is_some_and(|secs| secs > *KV_PERIOD_SECS.end()) {
            return Err(KvGeneratorError::Grace);
        }
        match rule {
            KvRule::Hex { bytes: length } => check_length(*length),
            KvRule::KeyPair(_) | KvRule::Uuid => Ok(()),
            KvRule::Password { length, classes } => {
                check_length(*length)?;
                check_classes(*length, classes)
            }
        }
    }
}

fn check_length(length: u16) -> Result<(), KvGeneratorError> {
    if (8..=KV_GENERATED_LEN).contains(&length) { Ok(()) } else { Err(KvGeneratorError::Length) }
}

pub(super) fn check_classes(length: u16, classes: &[KvClass]) -> Result<(), KvGeneratorError> {
    let mut seen = [false; 128];
    let mut count = 0;
    let all = classes.iter().flat_map(|class| class.characters.bytes());
    for character in all {
        match seen.get_mut(usize::from(character)) {
            Some(seen) if !*seen && (b' '..=b'~').contains(&character) => *seen = true,
            _ => return Err(KvGeneratorError::Classes),
        }
        count += 1;
    }
    let empty = classes.is_empty() || classes.iter().any(|class| class.characters.is_empty());
    if empty || classes.len() > KV_CLASSES {
        return Err(KvGeneratorError::Classes);
    }
    if count < 2 {
        return Err(KvGeneratorError::Alphabet);
    }
    let minimum: u32 = classes.iter().map(|class| u32::from(class.minimum)).sum();
    if minimum > u32::from(length) { Err(KvGeneratorError::Minimum) } else { Ok(()) }
}
