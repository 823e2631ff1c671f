//! Reading fixed-size fields out of untrusted bytes: every read is checked, none can panic.

/// A cursor over untrusted bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

/// The bytes ended before the field did, or went on after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongLength;

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], WrongLength> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(WrongLength)?;
        self.0 = rest;
        Ok(field)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WrongLength> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(WrongLength)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WrongLength> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16_be(&mut self) -> Result<u16, WrongLength> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32_be(&mut self) -> Result<u32, WrongLength> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64_be(&mut self) -> Result<u64, WrongLength> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn u16_le(&mut self) -> Result<u16, WrongLength> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32_le(&mut self) -> Result<u32, WrongLength> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64_le(&mut self) -> Result<u64, WrongLength> {
        self.array().map(u64::from_le_bytes)
    }

    /// A `TPM2B`: 2-byte big-endian length, then the bytes.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], WrongLength> {
        let len = self.u16_be()?;
        self.take(usize::from(len))
    }

    pub(crate) fn end(self) -> Result<(), WrongLength> {
        if self.0.is_empty() { Ok(()) } else { Err(WrongLength) }
    }
}
