//! Ids and names. Each is its own type; each parses once, at the edge.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_LEN;

/// What class of trust anchors a vault was initialised with. Simulated ones say so everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AnchorClass {
    /// AMD's or TPM vendors' roots.
    Hardware,
    /// A generated test PKI. A vault of this class can never be mistaken for one of hardware.
    Simulated,
}

/// Names a vault: the class of its anchors and a hash that commits to its authority key and its anchors.
///
/// `digest = SHA-256("vouchsafe/1/vault-id" || LV(class byte) || LV(authority SPKI) || LV(SHA-256(anchors)))`.
/// Text form: `vault-<64 hex>` or `sim-vault-<64 hex>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VaultId {
    /// Class of the anchors.
    pub class: AnchorClass,
    /// The hash above.
    pub digest: [u8; 32],
}

impl VaultId {
    /// The 33 bytes that go into statements: the class byte (0 hardware, 1 simulated) and the digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        let (class, digest) = bytes.split_at_mut(1);
        class.fill(class_byte(self.class));
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// The SPIFFE trust domain: `v-<32 hex>.vouchsafe`, or `sim-<32 hex>.vouchsafe` when simulated.
    #[must_use]
    pub fn trust_domain(&self) -> String {
        let prefix = match self.class {
            AnchorClass::Hardware => "v",
            AnchorClass::Simulated => "sim",
        };
        let mut name = format!("{prefix}-");
        for byte in self.digest.iter().take(16) {
            name.push_str(&format!("{byte:02x}"));
        }
        name + ".vouchsafe"
    }

    /// DNS name in the vault's own TLS certificate: `vault.<trust domain>`.
    #[must_use]
    pub fn server_name(&self) -> String {
        format!("vault.{}", self.trust_domain())
    }
}

/// The byte of a class inside hashed statements.
#[must_use]
pub fn class_byte(class: AnchorClass) -> u8 {
    match class {
        AnchorClass::Hardware => 0,
        AnchorClass::Simulated => 1,
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.class {
            AnchorClass::Hardware => "vault-",
            AnchorClass::Simulated => "sim-vault-",
        })?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for VaultId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (class, digits) = match text.strip_prefix("sim-vault-") {
            Some(digits) => (AnchorClass::Simulated, digits),
            None => (AnchorClass::Hardware, text.strip_prefix("vault-").ok_or(IdError::VaultId)?),
        };
        Ok(Self { class, digest: unhex(digits).ok_or(IdError::VaultId)? })
    }
}

/// Exactly `2 * N` lower-case hexadecimal digits.
fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0u8; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().try_fold(0u8, |value, digit| {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            Some(value << 4 | nibble)
        })?;
    }
    Some(bytes)
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 1 to [`NAME_LEN`] of `a-z 0-9 - _ .`, beginning with a letter or digit.
    #[error("a name is 1 to 64 characters of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit")]
    Name,
    /// Not `vault-<64 hex>` or `sim-vault-<64 hex>`.
    #[error("a vault id is 'vault-' or 'sim-vault-' and 64 lower-case hexadecimal digits")]
    VaultId,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                let mut bytes = text.bytes();
                let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                let rest = bytes
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
                if first && rest && text.len() <= NAME_LEN { Ok(Self(text)) } else { Err(IdError::Name) }
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.to_owned().try_into()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Names a set of trust anchors for TPM keys; the anchor that matched names the platform's class.
    AnchorName
);
name!(
    /// Names an operator pinned at initialisation.
    OperatorName
);
name!(
    /// Names a role.
    RoleName
);
