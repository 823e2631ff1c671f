//! The text form of ciphertexts and signatures: `vouchsafe:v<version>:<base64>`.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vouchsafe_protocol::transit::{Ciphertext, Signature};

/// What every text begins with.
const PREFIX: &str = "vouchsafe:v";

/// A ciphertext or a signature as text: which of them it is, whoever reads it knows. The base64 is that of RFC 4648,
/// section 4, with padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedText {
    /// Version of the key.
    pub version: u32,
    /// The bytes: of a ciphertext with its header.
    pub bytes: Vec<u8>,
}

/// Why a text is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedTextError {
    /// It does not begin like one.
    #[error("it is not 'vouchsafe:v<version>:<base64>'")]
    Form,
    /// The version is not a number from 1, without leading zeros.
    #[error("its version is not a number from 1")]
    Version,
    /// The rest is not base64.
    #[error("it is not base64 after its version")]
    Base64,
    /// The version before the base64 is not the one inside.
    #[error("its version is not the one of the ciphertext inside")]
    OtherVersion,
}

impl fmt::Display for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", self.version, BASE64_STANDARD.encode(&self.bytes))
    }
}

impl FromStr for SealedText {
    type Err = SealedTextError;

    fn from_str(text: &str) -> Result<Self, SealedTextError> {
        let (version, body) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or(SealedTextError::Form)?;
        let number: u32 = version.parse().map_err(|_| SealedTextError::Version)?;
        if number == 0 || number.to_string() != version {
            return Err(SealedTextError::Version);
        }
        let bytes = BASE64_STANDARD.decode(body).map_err(|_| SealedTextError::Base64)?;
        Ok(Self { version: number, bytes })
    }
}

impl SealedText {
    /// Of a ciphertext; version 0 for bytes that are none.
    #[must_use]
    pub fn of(ciphertext: &Ciphertext) -> Self {
        let version = ciphertext.header().map_or(0, |(version, _)| version);
        Self { version, bytes: ciphertext.as_bytes().to_vec() }
    }

    /// As a ciphertext.
    ///
    /// # Errors
    /// [`SealedTextError::OtherVersion`].
    pub fn into_ciphertext(self) -> Result<Ciphertext, SealedTextError> {
        let Self { version, bytes } = self;
        let ciphertext = Ciphertext::new(bytes);
        match ciphertext.header() {
            Ok((inside, _)) if inside == version => Ok(ciphertext),
            _ => Err(SealedTextError::OtherVersion),
        }
    }

    /// As a signature.
    #[must_use]
    pub fn into_signature(self) -> Signature {
        let Self { version, bytes } = self;
        Signature { version, bytes }
    }
}

impl From<&Signature> for SealedText {
    fn from(Signature { version, bytes }: &Signature) -> Self {
        Self { version: *version, bytes: bytes.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(version: u32) -> Ciphertext {
        Ciphertext::new([&[1], version.to_be_bytes().as_slice(), &[7; 48]].concat())
    }

    #[test]
    fn a_text_comes_back_and_has_one_form() {
        let text = SealedText::of(&sealed(12)).to_string();
        assert!(text.starts_with("vouchsafe:v12:AQAAAAwH"), "{text}");
        assert_eq!(text.parse::<SealedText>().unwrap().into_ciphertext().unwrap(), sealed(12));
        let signature = Signature { version: 3, bytes: vec![0xfb, 0xff] };
        assert_eq!(SealedText::from(&signature).to_string(), "vouchsafe:v3:+/8=");
        assert_eq!("vouchsafe:v3:+/8=".parse::<SealedText>().unwrap().into_signature(), signature);
    }

    #[test]
    fn v4_every_other_text_is_refused() {
        use SealedTextError::{Base64, Form, OtherVersion, Version};
        for (text, error) in [
            ("", Form),
            ("vault:v1:AA==", Form),
            ("vouchsafe:1:AA==", Form),
            ("vouchsafe:v1", Form),
            ("vouchsafe:v0:AA==", Version),
            ("vouchsafe:v01:AA==", Version),
            ("vouchsafe:v+1:AA==", Version),
            ("vouchsafe:v4294967296:AA==", Version),
            ("vouchsafe:v1:AA", Base64),
            ("vouchsafe:v1:AA==\n", Base64),
            ("vouchsafe:v1:A_==", Base64),
        ] {
            assert_eq!(text.parse::<SealedText>(), Err(error), "{text:?}");
        }
        let other = SealedText { version: 2, bytes: sealed(1).into_bytes() };
        assert_eq!(other.into_ciphertext(), Err(OtherVersion));
    }
}
