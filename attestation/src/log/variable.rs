//! UEFI_VARIABLE_DATA (PC Client Platform Firmware Profile 1.06, section 10.2.6): little-endian.

use crate::bytes::Reader;

/// Most UTF-16 units of a name that are shown.
const SHOWN_UNITS: usize = 256;

/// A GUID as it stands in memory: its first three fields are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(
    /// The bytes.
    pub [u8; 16],
);

impl Guid {
    /// EFI_GLOBAL_VARIABLE: SecureBoot, PK, KEK, boot options.
    pub const GLOBAL: Self = Self::from_u128(0x8be4df61_93ca_11d2_aa0d_00e098032b8c);
    /// EFI_IMAGE_SECURITY_DATABASE_GUID: db, dbx.
    pub const IMAGE_SECURITY: Self = Self::from_u128(0xd719b2cb_3d3a_4596_a3bc_dad00e67656f);
    /// SHIM_LOCK_GUID: MokList and what else belongs to shim.
    pub const SHIM_LOCK: Self = Self::from_u128(0x605dab50_e046_4300_abb6_3dd810dd8b23);

    /// A GUID from its digits in the order in which they are written.
    #[must_use]
    pub const fn from_u128(digits: u128) -> Self {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7] = digits.to_be_bytes();
        Self([a3, a2, a1, a0, b1, b0, c1, c0, d0, d1, d2, d3, d4, d5, d6, d7])
    }
}

impl std::fmt::Display for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a3, a2, a1, a0, b1, b0, c1, c0, d0, d1, rest @ ..] = self.0;
        let a = u32::from_be_bytes([a0, a1, a2, a3]);
        let [b, c, d] = [[b0, b1], [c0, c1], [d0, d1]].map(u16::from_be_bytes);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-")?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A variable as an event measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UefiVariable<'a> {
    /// Whose name it is.
    pub vendor: Guid,
    /// Name, UTF-16LE, without NUL.
    pub name_utf16: &'a [u8],
    /// Value.
    pub value: &'a [u8],
}

impl<'a> UefiVariable<'a> {
    /// Parses the data of an event; `None` unless it is exactly one variable.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let mut at = Reader(data);
        let vendor = Guid(at.array().ok()?);
        let name_units = usize::try_from(at.u64_le().ok()?).ok()?;
        let value_len = usize::try_from(at.u64_le().ok()?).ok()?;
        let name_utf16 = at.take(name_units.checked_mul(2)?).ok()?;
        let value = at.take(value_len).ok()?;
        at.end().ok()?;
        Some(Self { vendor, name_utf16, value })
    }

    /// Whether this is the variable of a name.
    #[must_use]
    pub fn is(&self, vendor: Guid, name: &str) -> bool {
        self.vendor == vendor
            && name.encode_utf16().flat_map(u16::to_le_bytes).eq(self.name_utf16.iter().copied())
    }

    /// The name, or the beginning of a very long one, for showing.
    #[must_use]
    pub fn name(&self) -> String {
        let (units, _) = self.name_utf16.as_chunks::<2>();
        char::decode_utf16(units.iter().take(SHOWN_UNITS).map(|unit| u16::from_le_bytes(*unit)))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}
