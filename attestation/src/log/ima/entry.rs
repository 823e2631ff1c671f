//! One entry, and the bytes that its hash is over.

use std::borrow::Cow;

use vouchsafe_crypto::verify::{Digest, HashAlgorithm};

/// What the `n` field of template `ima` is filled up to before it is hashed (IMA_EVENT_NAME_LEN_MAX + 1).
const OLD_NAME_LEN: usize = 256;

/// An entry. Borrows from the log where it can.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Place in the log, from 1.
    pub number: u32,
    /// PCR that it was extended into; 10 unless the machine's own policy says otherwise.
    pub pcr: u8,
    /// Template.
    pub template: Template<'a>,
    /// Hash over the template data by the log, 20 bytes (SHA-1) in most; all zero for a violation.
    pub template_hash: ShortDigest,
    /// The file that was measured; `None` for a buffer, and for a template that is not known.
    pub file: Option<FileMeasurement<'a>>,
    pub(super) data: TemplateData<'a>,
}

/// Template, by name (`builtin_templates` in `ima_template.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template<'a> {
    /// `ima`: SHA-1 or MD5 digest, name of at most 255 bytes.
    Ima,
    /// `ima-buf`: digest, name and content of a buffer of the kernel, such as a command line for kexec, a policy or
    /// critical data. Not a file. Stands between entries of the template that the kernel was told.
    ImaBuf,
    /// `ima-modsig`: as `ima-sig`, and the digest and signature that a file has appended.
    ImaModsig,
    /// `ima-ng`: digest with its algorithm, name.
    ImaNg,
    /// `ima-ngv2`: digest with its type and algorithm, name.
    ImaNgV2,
    /// `ima-sig`: as `ima-ng`, and a signature.
    ImaSig,
    /// `ima-sigv2`: as `ima-ngv2`, and a signature.
    ImaSigV2,
    /// Another.
    Other(&'a [u8]),
}

impl<'a> Template<'a> {
    pub(super) fn named(name: &'a [u8]) -> Self {
        match name {
            b"ima" => Self::Ima,
            b"ima-buf" => Self::ImaBuf,
            b"ima-modsig" => Self::ImaModsig,
            b"ima-ng" => Self::ImaNg,
            b"ima-ngv2" => Self::ImaNgV2,
            b"ima-sig" => Self::ImaSig,
            b"ima-sigv2" => Self::ImaSigV2,
            _ => Self::Other(name),
        }
    }
}

/// What an entry says of a file.
#[derive(Clone, Debug)]
pub struct FileMeasurement<'a> {
    /// What the digest is of: `ima` for the content of the file, and in templates that do not say; `verity` for the
    /// descriptor of fs-verity, which stands for the content without being its digest.
    pub digest_type: &'a [u8],
    /// Name of the digest's algorithm as the kernel writes it, such as `sha256`; `sha1` for template `ima`.
    pub algorithm: &'a [u8],
    /// Digest.
    pub digest: ShortDigest,
    /// Path or other name: for people.
    pub name: &'a [u8],
    /// Signature of the file with its head, empty if there is none. Not verified here.
    pub signature: Cow<'a, [u8]>,
}

/// A digest of at most 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortDigest {
    bytes: [u8; 64],
    len: usize,
}

impl ShortDigest {
    /// `None` for more than 64 bytes.
    pub(super) fn new(bytes: impl ExactSizeIterator<Item = u8>) -> Option<Self> {
        let mut digest = Self { bytes: [0; 64], len: bytes.len() };
        digest.bytes.get(..digest.len)?;
        digest.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Some(digest)
    }
}

impl AsRef<[u8]> for ShortDigest {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// What the template hash is over.
#[derive(Clone, Debug)]
pub(super) enum TemplateData<'a> {
    /// Template `ima`: digest, and name filled up with zeros (`ima_calc_field_array_hash_tfm`).
    Old,
    /// Fields, each with a 4-byte little-endian length, as they stand in a binary log.
    Fields(Cow<'a, [u8]>),
}

impl Entry<'_> {
    /// Whether this records that a file could not be measured soundly: the template hash is all zero, and all ones are
    /// extended in its place.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        self.template_hash.as_ref().iter().all(|byte| *byte == 0)
    }

    /// Whether the template hash is the hash, by the algorithm of its length, of the template data.
    #[must_use]
    pub fn has_right_template_hash(&self) -> bool {
        let algorithm = match self.template_hash.len {
            20 => HashAlgorithm::DangerousSha1,
            32 => HashAlgorithm::Sha256,
            48 => HashAlgorithm::Sha384,
            64 => HashAlgorithm::Sha512,
            _ => return false,
        };
        self.hash(algorithm).as_ref() == self.template_hash.as_ref()
    }

    /// Hash over the template data: what the kernel, from version 5.8, extends into a bank.
    #[must_use]
    pub fn hash(&self, bank: HashAlgorithm) -> Digest {
        match (&self.data, &self.file) {
            (TemplateData::Fields(fields), _) => bank.hash(&[fields]),
            (TemplateData::Old, Some(file)) => {
                let padding = [0; OLD_NAME_LEN];
                let padding = padding.get(file.name.len()..).unwrap_or_default();
                bank.hash(&[file.digest.as_ref(), file.name, padding])
            }
            (TemplateData::Old, None) => bank.hash(&[]),
        }
    }
}
