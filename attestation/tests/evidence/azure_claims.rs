//! Runtime claims: what they must say, and say once.

#![expect(clippy::string_slice, reason = "tests cut text where they found something in it")]

use vouchsafe_attestation::azure::{ClaimsError, RuntimeClaims};
use vouchsafe_crypto::verify::PublicKey;

use crate::azure_fixture::{ak, claims, claims_with};

fn read(text: &str) -> Result<RuntimeClaims, ClaimsError> {
    RuntimeClaims::dangerous_read_unbound(text.as_bytes())
}

fn right() -> String {
    String::from_utf8(claims_with(&[0xab; 64])).unwrap()
}

/// The refusal of right claims with one piece of text replaced once.
fn with(from: &str, to: &str) -> ClaimsError {
    let changed = right().replacen(from, to, 1);
    assert_ne!(changed, right(), "{from} is there");
    read(&changed).unwrap_err()
}

#[test]
fn right_claims_are_read() {
    let claims = read(&right()).unwrap();
    assert_eq!(claims.key_ids(), ["HCLAkPub", "HCLEkPub"]);
    assert_eq!(claims.user_data(), Some(&[0xab; 64]));
    assert_eq!(claims.vm_configuration().console_enabled, Some(true));
    assert_eq!(claims.vm_configuration().tpm_persisted, None);
    let spki = ak().spki().unwrap();
    let PublicKey::Rsa { modulus, exponent } = claims.ak() else { panic!("an RSA key") };
    assert!(spki.windows(256).any(|window| window == modulus));
    assert_eq!(exponent, &[1, 0, 1]);
}

#[test]
fn what_later_paravisors_add_is_left_alone() {
    let more = right().replacen('{', r#"{"future":{"a":[1,null]},"#, 1);
    assert_eq!(read(&more).unwrap(), read(&right()).unwrap());
    // The first ones had no user data, and called the key one that encrypts.
    let at = right().find(r#","user-data""#).unwrap();
    let first = format!("{}}}", &right()[..at]).replacen(r#"["sign"]"#, r#"["encrypt"]"#, 1);
    let claims = read(&first).unwrap();
    assert_eq!(claims.user_data(), None);
}

#[test]
fn t4_exactly_one_key_is_the_attestation_key() {
    assert_eq!(with("HCLAkPub", "HCLOther"), ClaimsError::AkMissing);
    assert_eq!(with("HCLAkPub", "HCLAkPub "), ClaimsError::AkMissing);
    assert_eq!(with("HCLAkPub", "hclakpub"), ClaimsError::AkMissing);
    assert_eq!(with("HCLEkPub", "HCLAkPub"), ClaimsError::AkTwice);
}

#[test]
fn t5_the_attestation_key_is_an_rsa_key_for_signing_in_its_one_encoding() {
    assert_eq!(with(r#""kty":"RSA""#, r#""kty":"EC""#), ClaimsError::KeyType);
    assert_eq!(with(r#","kty":"RSA""#, ""), ClaimsError::KeyType);
    assert_eq!(with(r#""kty":"RSA""#, r#""kty":["RSA"]"#), ClaimsError::KeyType);
    assert_eq!(with(r#""kty":"RSA""#, r#""kty":"RSA","use":"enc""#), ClaimsError::KeyUse);
    assert_eq!(with(r#""kty":"RSA""#, r#""kty":"RSA","use":null"#), ClaimsError::KeyUse);
    read(&right().replacen(r#""kty":"RSA""#, r#""kty":"RSA","use":"sig""#, 1)).unwrap();
    for exponent in [r#""e":"Aw""#, r#""e":"AQAA""#, r#""e":"AQAB=""#, r#""e":"AAEAAQ""#, r#""e":65537"#] {
        assert_eq!(with(r#""e":"AQAB""#, exponent), ClaimsError::Exponent);
    }
    assert_eq!(with(r#""e":"AQAB","#, ""), ClaimsError::Exponent);
    let text = right();
    let start = text.find(r#""n":""#).unwrap() + 5;
    let modulus = &text[start..start + text[start..].find('"').unwrap()];
    let padded = format!("{modulus}==");
    let long = "gAAA".repeat(171);
    for other in ["", "AAAA", "!", &modulus[4..], padded.as_str(), &format!("AAAA{modulus}"), long.as_str()] {
        assert_eq!(with(modulus, other), ClaimsError::Modulus, "{other}");
    }
    // Fewer than 2,048 bits.
    assert_eq!(with(modulus, &format!("A{}", &modulus[1..])), ClaimsError::Modulus);
}

#[test]
fn b5_a_member_given_twice_is_refused() {
    for (from, to) in [
        (r#"{"keys""#, r#"{"keys":[],"keys""#),
        (r#""kty":"RSA""#, r#""kty":"RSA","kty":"RSA""#),
        (r#""e":"AQAB""#, r#""e":"AQAB","\u0065":"AQAB""#),
        (r#","user-data""#, r#","user-data":"","user-data""#),
        (r#""secure-boot":true"#, r#""secure-boot":true,"secure-boot":false"#),
    ] {
        assert_eq!(with(from, to), ClaimsError::DuplicateMember);
    }
}

#[test]
fn s16_claims_of_another_form_are_refused() {
    assert_eq!(with(r#""keys":["#, r#""other":["#), ClaimsError::Keys);
    assert_eq!(with(r#""keys":["#, r#""keys":[1,"#), ClaimsError::Keys);
    assert_eq!(with(r#""keys":["#, r#""keys":[{},"#), ClaimsError::Keys);
    assert_eq!(with(r#""keys":["#, r#""keys":[{"kid":7},"#), ClaimsError::Keys);
    let many = |count| format!(r#""keys":[{}"#, r#"{"kid":"x"},"#.repeat(count));
    assert_eq!(with(r#""keys":["#, &many(7)), ClaimsError::Keys);
    assert_eq!(read(&right().replacen(r#""keys":["#, &many(6), 1)).unwrap().key_ids().len(), 8);
    assert_eq!(with(r#""secure-boot":true"#, r#""secure-boot":"true""#), ClaimsError::VmConfiguration);
    assert_eq!(with(r#""vmUniqueId":"0"#, r#""vmUniqueId":1,"x":"0"#), ClaimsError::VmConfiguration);
    let at = right().find(r#""user-data":""#).unwrap();
    for user_data in
        ["\"\"", "1", "null", &format!("\"{}\"", "0".repeat(127)), &format!("\"{}g\"", "0".repeat(127))]
    {
        let changed = format!("{}\"user-data\":{user_data}}}", &right()[..at]);
        assert_eq!(read(&changed).unwrap_err(), ClaimsError::UserData);
    }
    let nested = format!(r#"{{"x":{}1{},"#, "[".repeat(8), "]".repeat(8));
    assert_eq!(read(&right().replacen('{', &nested, 1)).unwrap_err(), ClaimsError::TooDeep);
    let whole = right();
    for len in 0..whole.len() {
        assert_eq!(read(&whole[..len]).unwrap_err(), ClaimsError::Malformed, "{len}");
    }
    assert_eq!(read(&format!("{whole}{whole}")).unwrap_err(), ClaimsError::Malformed);
    assert_eq!(claims().len(), whole.len());
}
