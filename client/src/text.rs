//! One text form for each value that people write or read: in pins and in policy files alike.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use vouchsafe_protocol::id::{AnchorClass, AnchorName, VaultId};
use vouchsafe_protocol::policy::{
    AbiVersion, AkRule, BitRule, BootPhase, Capability, ChipId, HostDataRule, IdRule, LaunchDigest,
    MigrationAgentRule, Permission, PlatformKind, Product, RefusalDetail, Renewal, ReportIdRule, TpmKind,
    TpmKindRule, UserDataRule,
};

/// A value with exactly one text form.
pub(crate) trait TextForm: Sized {
    /// What to write instead, for an error message.
    const EXPECTED: &'static str;
    /// Reads.
    fn from_text(text: &str) -> Option<Self>;
    /// Writes.
    fn to_text(&self) -> String;
}

/// A value as text, for serde.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<T>(pub T);

impl<T: TextForm> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_text())
    }
}

impl<'de, T: TextForm> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || de::Error::invalid_value(de::Unexpected::Str(&text), &T::EXPECTED);
        T::from_text(&text).map(Self).ok_or_else(expected)
    }
}

/// Texts for the values of an enum.
macro_rules! words {
    ($type:ty, $expected:literal, $($value:path => $word:literal),+ $(,)?) => {
        impl TextForm for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($word => Some($value),)+
                    _ => None,
                }
            }

            fn to_text(&self) -> String {
                match self {
                    $($value => $word,)+
                }
                .to_owned()
            }
        }
    };
}

words!(AkRule, "'certificate', 'credential' or 'either'",
    AkRule::ByCertificate => "certificate", AkRule::ByCredential => "credential", AkRule::Either => "either");
words!(AnchorClass, "'hardware' or 'simulated'",
    AnchorClass::Hardware => "hardware", AnchorClass::Simulated => "simulated");
words!(BitRule, "'any', 'forbidden' or 'required'",
    BitRule::Any => "any", BitRule::Forbidden => "forbidden", BitRule::Required => "required");
words!(BootPhase, "'firmware', 'initrd', 'initrd-left', 'system-initialised' or 'ready'",
    BootPhase::Firmware => "firmware", BootPhase::Initrd => "initrd", BootPhase::InitrdLeft => "initrd-left",
    BootPhase::SystemInitialised => "system-initialised", BootPhase::Ready => "ready");
words!(Capability, "'data-key', 'decrypt', 'delete', 'derive', 'destroy', 'encrypt', 'export', 'list', 'manage', \
    'read', 'rewrap', 'sign', 'verify' or 'write'",
    Capability::DataKey => "data-key", Capability::Decrypt => "decrypt", Capability::Delete => "delete",
    Capability::Derive => "derive", Capability::Destroy => "destroy", Capability::Encrypt => "encrypt",
    Capability::Export => "export", Capability::List => "list", Capability::Manage => "manage",
    Capability::Read => "read", Capability::Rewrap => "rewrap", Capability::Sign => "sign",
    Capability::Verify => "verify", Capability::Write => "write");
words!(Permission, "'allowed' or 'forbidden'",
    Permission::Allowed => "allowed", Permission::Forbidden => "forbidden");
words!(PlatformKind, "'snp', 'snp-vtpm' or 'tpm'",
    PlatformKind::Snp => "snp", PlatformKind::SnpVtpm => "snp-vtpm", PlatformKind::Tpm => "tpm");
words!(Product, "'milan', 'genoa' or 'turin'",
    Product::Milan => "milan", Product::Genoa => "genoa", Product::Turin => "turin");
words!(RefusalDetail, "'code-only' or 'name-rule'",
    RefusalDetail::CodeOnly => "code-only", RefusalDetail::NameRule => "name-rule");
words!(Renewal, "'fresh-evidence' or 'same-evidence'",
    Renewal::FreshEvidence => "fresh-evidence", Renewal::SameEvidence => "same-evidence");
words!(TpmKind, "'hardware' or 'host-virtual'",
    TpmKind::Hardware => "hardware", TpmKind::HostVirtual => "host-virtual");
words!(TpmKindRule, "'hardware', 'host-virtual' or 'any'",
    TpmKindRule::Any => "any", TpmKindRule::Hardware => "hardware", TpmKindRule::HostVirtual => "host-virtual");
words!(UserDataRule, "'required' or 'not-required'",
    UserDataRule::NotRequired => "not-required", UserDataRule::Required => "required");

impl TextForm for [u8; 32] {
    const EXPECTED: &'static str = "64 hexadecimal digits";

    fn from_text(text: &str) -> Option<Self> {
        unhex(text)
    }

    fn to_text(&self) -> String {
        hex(self)
    }
}

impl TextForm for LaunchDigest {
    const EXPECTED: &'static str = "a launch digest of 96 hexadecimal digits";

    fn from_text(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    fn to_text(&self) -> String {
        hex(&self.0)
    }
}

impl TextForm for ChipId {
    const EXPECTED: &'static str = "a chip id of 128 hexadecimal digits";

    fn from_text(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    fn to_text(&self) -> String {
        hex(&self.0)
    }
}

/// Texts for a rule that is exactly some bytes, or one or more named choices.
macro_rules! exactly {
    ($type:ty, $expected:literal, $($value:path => $word:literal),+) => {
        impl TextForm for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($word => Some($value),)+
                    digits => unhex(digits).map(Self::Exactly),
                }
            }

            fn to_text(&self) -> String {
                match self {
                    $($value => $word.to_owned(),)+
                    Self::Exactly(bytes) => hex(bytes),
                }
            }
        }
    };
}

exactly!(HostDataRule, "64 hexadecimal digits, or the waiver 'any-host-data'",
    HostDataRule::AnyHostData => "any-host-data");
exactly!(IdRule, "32 hexadecimal digits, or the waiver 'any-id'", IdRule::AnyId => "any-id");
exactly!(MigrationAgentRule, "'none', 64 hexadecimal digits, or the waiver 'any'",
    MigrationAgentRule::AnyMigrationAgent => "any", MigrationAgentRule::NoMigrationAgent => "none");
exactly!(ReportIdRule, "64 hexadecimal digits, or the waiver 'any-report-id'",
    ReportIdRule::AnyReportId => "any-report-id");

/// `MAJOR.MINOR`, each in its one decimal form.
impl TextForm for AbiVersion {
    const EXPECTED: &'static str = "a version such as '1.55'";

    fn from_text(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let version = Self { major: major.parse().ok()?, minor: minor.parse().ok()? };
        (version.to_text() == text).then_some(version)
    }

    fn to_text(&self) -> String {
        let Self { major, minor } = self;
        format!("{major}.{minor}")
    }
}

impl TextForm for VaultId {
    const EXPECTED: &'static str = "'vault-' or 'sim-vault-' and 64 lower-case hexadecimal digits";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl TextForm for AnchorName {
    const EXPECTED: &'static str = "a name of at most 64 characters of a-z, 0-9, '-', '_' and '.'";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// Bytes of any length: a certificate, a TPM name.
impl TextForm for Vec<u8> {
    const EXPECTED: &'static str = "an even number of hexadecimal digits";

    fn from_text(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
    }

    fn to_text(&self) -> String {
        hex(self)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        if write!(text, "{byte:02x}").is_err() {
            text.clear();
        }
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    Vec::from_text(text)?.try_into().ok()
}

/// Either case: reference values are pasted from other tools.
fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_back() {
        fn back<T: TextForm + PartialEq>(value: T) -> bool {
            T::from_text(&value.to_text()).is_some_and(|read| read == value)
        }
        assert!(back([7u8; 32]) && back(LaunchDigest([0xab; 48])) && back(ChipId([9; 64])));
        assert!(back(HostDataRule::AnyHostData) && back(HostDataRule::Exactly([1; 32])));
        assert!(back(Product::Milan) && back(BitRule::Required) && back(Permission::Allowed));
        assert!(back(vec![0u8, 255, 16]));
        assert!(back(IdRule::AnyId) && back(IdRule::Exactly([3; 16])));
        assert!(back(ReportIdRule::AnyReportId) && back(ReportIdRule::Exactly([3; 32])));
        assert!(back(MigrationAgentRule::NoMigrationAgent) && back(MigrationAgentRule::AnyMigrationAgent));
        assert!(back(MigrationAgentRule::Exactly([4; 32])));
        assert!(
            back(AbiVersion { major: 1, minor: 55 }) && back(AkRule::Either) && back(TpmKind::HostVirtual)
        );
        assert!(back(BootPhase::Firmware) && back(BootPhase::SystemInitialised));
        assert!(back(TpmKindRule::Any) && back(UserDataRule::NotRequired));
    }

    #[test]
    fn other_lengths_and_characters_are_refused() {
        for text in ["", "0", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(<[u8; 32]>::from_text(text), None, "{text}");
        }
        assert_eq!(Product::from_text("Milan"), None);
        for text in ["1", "1.", "01.55", "1.055", "1.256", "+1.5", "1.5.1"] {
            assert_eq!(AbiVersion::from_text(text), None, "{text}");
        }
    }
}
