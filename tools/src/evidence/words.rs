//! Names as people know them, of what evidence holds.

use vouchsafe_attestation::log::ima::{Form, Template};
use vouchsafe_attestation::tpm::public::KeyScheme;
use vouchsafe_crypto::verify::{HashAlgorithm, Scheme};
use vouchsafe_protocol::policy::Product;

/// A line of processors, as AMD writes it: in names of files, addresses and certificates too.
pub(super) fn product(product: Product) -> &'static str {
    match product {
        Product::Genoa => "Genoa",
        Product::Milan => "Milan",
        Product::Turin => "Turin",
    }
}

/// A hash algorithm, or the bank of PCRs of it.
pub(super) fn hash(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::DangerousSha1 => "SHA-1",
        HashAlgorithm::Sha256 => "SHA-256",
        HashAlgorithm::Sha384 => "SHA-384",
        HashAlgorithm::Sha512 => "SHA-512",
    }
}

/// A hash algorithm by its TPM_ALG_ID.
pub(super) fn hash_by_id(id: u16) -> String {
    match id {
        0x0004 => "SHA-1".to_owned(),
        0x000b => "SHA-256".to_owned(),
        0x000c => "SHA-384".to_owned(),
        0x000d => "SHA-512".to_owned(),
        0x0012 => "SM3-256".to_owned(),
        other => format!("{other:#06x}"),
    }
}

/// A signature's scheme.
pub(super) fn scheme(scheme: Scheme) -> String {
    let (name, algorithm) = match scheme {
        Scheme::EcdsaAsn1(algorithm) | Scheme::EcdsaFixed(algorithm) => ("ECDSA", algorithm),
        Scheme::RsaPkcs1(algorithm) => ("RSASSA-PKCS1-v1_5", algorithm),
        Scheme::RsaPss(algorithm) => ("RSASSA-PSS", algorithm),
    };
    format!("{name} with {}", hash(algorithm))
}

/// The scheme that a TPM's key is bound to.
pub(super) fn key_scheme(scheme: KeyScheme) -> String {
    match scheme {
        KeyScheme::Ecdsa(algorithm) => format!("ECDSA with {}", hash_by_id(algorithm)),
        KeyScheme::Null => "none".to_owned(),
        KeyScheme::RsaPss(algorithm) => format!("RSASSA-PSS with {}", hash_by_id(algorithm)),
        KeyScheme::RsaSsa(algorithm) => format!("RSASSA-PKCS1-v1_5 with {}", hash_by_id(algorithm)),
        KeyScheme::Encryption(id) => format!("encryption ({id:#06x})"),
    }
}

/// How an IMA log is written.
pub(super) fn ima_form(form: Form) -> &'static str {
    match form {
        Form::Ascii => "text",
        Form::Binary => "binary",
    }
}

/// What an IMA entry without a file is of.
pub(super) fn no_file(template: Template<'_>) -> &'static str {
    match template {
        Template::ImaBuf => "buffer of the kernel, no file",
        _ => "unknown template",
    }
}
