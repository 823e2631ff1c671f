//! EFI_SIGNATURE_LIST (UEFI 2.10, section 32.4.1): what PK, KEK, db and dbx hold. Little-endian. Every size is checked
//! against what is left and against the others before it is used.

use super::variable::Guid;
use crate::bytes::Reader;

/// GUID of the owner before each signature.
const OWNER_LEN: usize = 16;
/// SignatureType, SignatureListSize, SignatureHeaderSize, SignatureSize.
const HEAD_LEN: usize = 16 + 4 + 4 + 4;

/// Why bytes are not signature lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureListError {
    /// The bytes end inside a head, or a list says that it is shorter than its head or longer than what is left.
    #[error("length of a signature list is impossible")]
    ListLen,
    /// A header longer than its list, or one where the type has none.
    #[error("header of a signature list is impossible")]
    HeaderLen,
    /// Signatures without room for an owner and a byte, of another length than the type's, or not a whole number of
    /// them.
    #[error("length of the signatures in a list is impossible")]
    SignatureLen,
}

impl SignatureListError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ListLen => "tpm.log.signature-list.length",
            Self::HeaderLen => "tpm.log.signature-list.header",
            Self::SignatureLen => "tpm.log.signature-list.signature",
        }
    }
}

/// What the signatures of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// Another type.
    Other(Guid),
    /// SHA-256 of an image.
    Sha256,
    /// DER certificate.
    X509,
    /// SHA-256 of a certificate's TBSCertificate, and a time.
    X509Sha256,
}

impl SignatureKind {
    const SHA256_GUID: Guid = Guid::from_u128(0xc1c41626_504c_4092_aca9_41f936934328);
    const X509_GUID: Guid = Guid::from_u128(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072);
    const X509_SHA256_GUID: Guid = Guid::from_u128(0x3bd2a492_96c0_4079_b420_fcf98ef103ed);

    fn of(guid: Guid) -> Self {
        match guid {
            Self::SHA256_GUID => Self::Sha256,
            Self::X509_GUID => Self::X509,
            Self::X509_SHA256_GUID => Self::X509Sha256,
            other => Self::Other(other),
        }
    }

    /// Length of one signature without its owner, where the type fixes it (section 32.4.1).
    fn signature_len(self) -> Option<usize> {
        match self {
            Self::Sha256 => Some(32),
            // A hash and an EFI_TIME.
            Self::X509Sha256 => Some(32 + 16),
            Self::Other(_) | Self::X509 => None,
        }
    }
}

/// One list: signatures of one type and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureList<'a> {
    /// What they are.
    pub kind: SignatureKind,
    /// Length in bytes of each with its owner: at least 17.
    signature_len: usize,
    signatures: &'a [u8],
}

/// One signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Who put it there.
    pub owner: Guid,
    /// Hash or certificate.
    pub data: &'a [u8],
}

impl<'a> SignatureList<'a> {
    /// The signatures, in order.
    pub fn signatures(&self) -> impl Iterator<Item = Signature<'a>> + use<'a> {
        self.signatures.chunks_exact(self.signature_len).filter_map(|signature| {
            let (owner, data) = signature.split_first_chunk()?;
            Some(Signature { owner: Guid(*owner), data })
        })
    }

    fn read(at: &mut Reader<'a>) -> Result<Self, SignatureListError> {
        let mut head = *at;
        let read_head = |head: &mut Reader<'a>| {
            Ok::<_, crate::bytes::WrongLength>((
                head.array()?,
                head.u32_le()?,
                head.u32_le()?,
                head.u32_le()?,
            ))
        };
        let (guid, list_len, header_len, signature_len) =
            read_head(&mut head).map_err(|_| SignatureListError::ListLen)?;
        let [list_len, header_len, signature_len] =
            [list_len, header_len, signature_len].map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let kind = SignatureKind::of(Guid(guid));
        let body_len = list_len.checked_sub(HEAD_LEN).ok_or(SignatureListError::ListLen)?;
        let body = head.take(body_len).map_err(|_| SignatureListError::ListLen)?;
        let (_, signatures) = body.split_at_checked(header_len).ok_or(SignatureListError::HeaderLen)?;
        if header_len != 0 && !matches!(kind, SignatureKind::Other(_)) {
            return Err(SignatureListError::HeaderLen);
        }
        let data_len = signature_len.checked_sub(OWNER_LEN).filter(|len| *len > 0);
        let data_len = data_len.ok_or(SignatureListError::SignatureLen)?;
        if kind.signature_len().is_some_and(|len| len != data_len) || signatures.len() % signature_len != 0 {
            return Err(SignatureListError::SignatureLen);
        }
        *at = head;
        Ok(Self { kind, signature_len, signatures })
    }
}

/// Reads signature lists one behind another, up to the last byte. Ends at the first error.
pub fn signature_lists(bytes: &[u8]) -> impl Iterator<Item = Result<SignatureList<'_>, SignatureListError>> {
    let mut at = Reader(bytes);
    std::iter::from_fn(move || {
        if at.0.is_empty() {
            return None;
        }
        let list = SignatureList::read(&mut at);
        if list.is_err() {
            at = Reader(&[]);
        }
        Some(list)
    })
}
