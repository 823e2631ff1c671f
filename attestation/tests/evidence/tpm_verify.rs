//! Checking a quote against a bare key, as `evidence check` does.

use vouchsafe_attestation::parse_ak;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::{Expected, PcrValues, QuoteError, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey};
use vouchsafe_protocol::policy::Permission;
use vouchsafe_simulation::tpm::{QuoteBuilder, sized};

use crate::tpm_fixture::{Fixture, SHA1, pcrs, quote_over};

/// Verifies a quote, signed right, against these values.
fn verify(builder: &QuoteBuilder, values: &PcrValues) -> Result<(), QuoteError> {
    let fixture = Fixture::new();
    let ak = parse_ak(&fixture.ak.public).unwrap();
    let bytes = builder.encode();
    let quote = Quote::parse(&bytes).unwrap();
    let signature = QuoteSignature::parse(&fixture.ak.sign(&bytes)).unwrap();
    let expected = Expected {
        key: ak.key(),
        scheme: Some(ak.scheme()),
        extra_data: &builder.extra_data,
        sha1: Permission::Forbidden,
    };
    verify_quote(&bytes, &quote, &signature, values, expected)
}

fn values() -> PcrValues {
    pcrs().iter().map(|pcr| ((HashAlgorithm::Sha256, pcr.index), pcr.value.to_vec())).collect()
}

#[test]
fn right_values_verify() {
    assert_eq!(verify(&quote_over(&pcrs()), &values()), Ok(()));
}

#[test]
fn t2_a_selected_pcr_without_a_value_is_refused() {
    let mut fewer = values();
    fewer.remove(&(HashAlgorithm::Sha256, 7));
    let expected = Err(QuoteError::MissingValue { index: 7 });
    assert_eq!(verify(&quote_over(&pcrs()), &fewer), expected);
    // The value of the same index in another bank is no substitute.
    fewer.insert((HashAlgorithm::Sha384, 7), pcrs()[1].value.to_vec());
    assert_eq!(verify(&quote_over(&pcrs()), &fewer), expected);
}

#[test]
fn t2_a_quote_of_nothing_is_refused() {
    let mut nothing = quote_over(&[]);
    assert_eq!(verify(&nothing, &values()), Err(QuoteError::EmptySelection));
    nothing.selection = Vec::new();
    assert_eq!(verify(&nothing, &values()), Err(QuoteError::EmptySelection));
}

#[test]
fn t9_sha1_is_refused_unless_allowed_by_name() {
    let fixture = Fixture::new();
    let ak = parse_ak(&fixture.ak.public).unwrap();
    let mut builder = quote_over(&pcrs());
    builder.selection = vec![(SHA1, vec![1, 0, 0])];
    builder.pcr_digest = HashAlgorithm::Sha256.digest(&[&[3; 20]]);
    let bytes = builder.encode();
    let quote = Quote::parse(&bytes).unwrap();
    let signature = QuoteSignature::parse(&fixture.ak.sign(&bytes)).unwrap();
    let values = PcrValues::from([((HashAlgorithm::DangerousSha1, 0), vec![3; 20])]);
    let check = |sha1, signature: &QuoteSignature, scheme| {
        let expected = Expected { key: ak.key(), scheme, extra_data: &builder.extra_data, sha1 };
        verify_quote(&bytes, &quote, signature, &values, expected)
    };
    assert_eq!(check(Permission::Forbidden, &signature, Some(ak.scheme())), Err(QuoteError::Sha1));
    assert_eq!(check(Permission::Allowed, &signature, Some(ak.scheme())), Ok(()));
    // A signature with SHA-1.
    let mut weak = fixture.ak.sign(&bytes);
    weak[3] = 0x04;
    let weak = QuoteSignature::parse(&weak).unwrap();
    assert_eq!(check(Permission::Forbidden, &weak, Some(ak.scheme())), Err(QuoteError::Scheme));
    assert_eq!(check(Permission::Forbidden, &weak, None), Err(QuoteError::Sha1));
}

#[test]
fn s13_a_scalar_longer_than_the_order_is_not_cut() {
    let fixture = Fixture::new();
    let ak = parse_ak(&fixture.ak.public).unwrap();
    let builder = quote_over(&pcrs());
    let bytes = builder.encode();
    let quote = Quote::parse(&bytes).unwrap();
    let raw = fixture.ak.key.sign_raw(&bytes).unwrap();
    let check = |before: &[u8]| {
        let r = sized(&[before, &raw[..32]].concat());
        let s = sized(&raw[32..]);
        let signature = [&[0x00, 0x18, 0x00, 0x0b], r.as_slice(), &s].concat();
        let expected = Expected {
            key: ak.key(),
            scheme: Some(ak.scheme()),
            extra_data: &builder.extra_data,
            sha1: Permission::Forbidden,
        };
        let signature = QuoteSignature::parse(&signature).unwrap();
        verify_quote(&bytes, &quote, &signature, &values(), expected)
    };
    assert_eq!(check(&[]), Ok(()));
    for before in [[1].as_slice(), &[1, 0], &[1; 16]] {
        assert_eq!(check(before), Err(QuoteError::BadSignature));
    }
}

#[test]
fn a_bare_key_of_another_kind_cannot_have_signed() {
    let fixture = Fixture::new();
    let builder = quote_over(&pcrs());
    let bytes = builder.encode();
    let quote = Quote::parse(&bytes).unwrap();
    let ecdsa = QuoteSignature::parse(&fixture.ak.sign(&bytes)).unwrap();
    let rsa = QuoteSignature::raw_rsassa_sha256(&[1; 256]);
    let rsa_key = PublicKey::Rsa { modulus: vec![0x80; 256], exponent: vec![1, 0, 1] };
    let ak = parse_ak(&fixture.ak.public).unwrap();
    for (key, signature) in [(&rsa_key, &ecdsa), (ak.key(), &rsa)] {
        let expected =
            Expected { key, scheme: None, extra_data: &builder.extra_data, sha1: Permission::Forbidden };
        let refused = verify_quote(&bytes, &quote, signature, &values(), expected);
        assert_eq!(refused, Err(QuoteError::Scheme));
    }
}
