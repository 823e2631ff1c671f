//! Verification of offers and grants: one step broken at a time.

use rcgen::ExtendedKeyUsagePurpose;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{AkProof, CredentialBlob, EvidenceKind, TpmKeys};
use vouchsafe_protocol::introduction::{
    Grant, Hello, LogsWanted, Offer, OfferBody, Subject, TpmOffer, VERSION,
};
use vouchsafe_protocol::limits::CHALLENGE_LEN;
use vouchsafe_protocol::log::{Action, Actor};

use crate::certificate::CertificateError;
use crate::clock::now_secs;
use crate::grant::{self, GrantError};
use crate::offer::{self, OfferError, Quoting, VerifiedOffer};
use crate::pin::Pin;
use crate::vault::fake::FakeVault;
use crate::vault::{self, Expected, Platform, VaultError, VerifiedVault};

fn hello(nonce: u8) -> Vec<u8> {
    let subject = Subject::Agent { role: "billing".parse().unwrap(), kind: EvidenceKind::Snp, tpm: None };
    codec::encode(&Hello { version: VERSION, nonce: [nonce; 32], subject, vault_id: None }).unwrap()
}

fn expected(pin: &Pin) -> Expected<'_> {
    Expected {
        vault_id: Some(pin.vault_id),
        platform: Platform::Expected(&pin.platform),
        anchors: &pin.anchors,
        log_key: pin.log_key(),
        checkpoint: pin.checkpoint,
    }
}

fn check(vault: &FakeVault, offer: &Offer, quoting: Quoting) -> Result<VerifiedOffer, OfferError> {
    offer::verify(offer, &hello(1), quoting, &expected(&vault.pin()), now_secs())
}

fn broken(change: impl FnOnce(&mut OfferBody)) -> OfferError {
    let vault = FakeVault::new();
    check(&vault, &vault.offer(&hello(1), change), Quoting::Nothing).unwrap_err()
}

fn tpm_offer(pcrs: &[u8]) -> impl FnOnce(&mut OfferBody) {
    let credential = CredentialBlob { id_object: vec![1], encrypted_secret: vec![2] };
    quote_offer(Some(credential), pcrs)
}

fn quote_offer(credential: Option<CredentialBlob>, pcrs: &[u8]) -> impl FnOnce(&mut OfferBody) {
    let offer = TpmOffer { credential, pcrs: pcrs.to_vec(), logs: LogsWanted::default() };
    move |body| body.tpm = Some(offer)
}

#[test]
fn a_right_offer_passes() {
    let vault = FakeVault::new();
    let offer = vault.offer(&hello(1), |_| ());
    let verified = check(&vault, &offer, Quoting::Nothing).unwrap();
    assert_eq!(verified.encoded, codec::encode(&offer).unwrap());
    let offer = vault.offer(&hello(1), tpm_offer(&[0, 7, 11]));
    check(&vault, &offer, Quoting::QuoteWithCredential).unwrap();
}

#[test]
fn step_1_an_offer_has_one_encoding() {
    let vault = FakeVault::new();
    let mut offer = vault.offer(&hello(1), |_| ());
    offer.body.push(0);
    assert!(matches!(check(&vault, &offer, Quoting::Nothing), Err(OfferError::Malformed(_))));
}

#[test]
fn step_2_another_version_is_refused() {
    assert!(matches!(broken(|body| body.version = 2), OfferError::Version { version: 2 }));
}

#[test]
fn step_3_the_signing_key_is_a_p256_key() {
    assert!(matches!(broken(|body| body.vault.signing_key.push(0)), OfferError::SigningKey));
}

#[test]
fn f1_step_4_an_offer_to_another_hello_is_refused() {
    let vault = FakeVault::new();
    let replayed = vault.offer(&hello(2), |_| ());
    assert!(matches!(check(&vault, &replayed, Quoting::Nothing), Err(OfferError::Signature)));
}

#[test]
fn b5_step_4_an_edited_offer_is_refused() {
    let vault = FakeVault::new();
    let signed = vault.offer(&hello(1), |_| ());
    let mut body: OfferBody = codec::decode(&signed.body, 1 << 20).unwrap();
    body.challenge[0] ^= 1;
    let offer = Offer { body: codec::encode(&body).unwrap(), signature: signed.signature };
    assert!(matches!(check(&vault, &offer, Quoting::Nothing), Err(OfferError::Signature)));
}

#[test]
fn b10_step_5_another_vault_is_refused() {
    let offer = FakeVault::new().offer(&hello(1), |_| ());
    let error = check(&FakeVault::new(), &offer, Quoting::Nothing).unwrap_err();
    assert!(matches!(error, OfferError::Vault(VaultError::WrongVault { .. })));
}

#[test]
fn f1_step_6_a_challenge_has_its_length() {
    assert!(matches!(broken(|body| body.challenge.clear()), OfferError::Challenge { len: 0 }));
    let longer = CHALLENGE_LEN + 1;
    let error = broken(|body| body.challenge = vec![1; longer]);
    assert!(matches!(error, OfferError::Challenge { len } if len == longer));
}

#[test]
fn t4_step_7_a_tpm_gets_a_credential_and_nobody_else() {
    assert!(matches!(broken(tpm_offer(&[0])), OfferError::Kind));
    let vault = FakeVault::new();
    let plain = vault.offer(&hello(1), |_| ());
    let without = vault.offer(&hello(1), quote_offer(None, &[0]));
    let with = vault.offer(&hello(1), tpm_offer(&[0]));
    let all = [Quoting::Nothing, Quoting::Quote, Quoting::QuoteWithCredential];
    for (offer, fitting) in [plain, without, with].iter().zip(all) {
        for quoting in all {
            let checked = check(&vault, offer, quoting);
            assert_eq!(checked.is_ok(), quoting == fitting);
            assert!(matches!(checked, Ok(_) | Err(OfferError::Kind)));
        }
    }
}

#[test]
fn t4_step_7_who_has_shown_an_endorsement_key_gets_a_credential() {
    let keys = |proof| TpmKeys { ak_public: vec![1], proof };
    let certified = keys(AkProof::Certificate { ak_chain: vec![] });
    let endorsed = keys(AkProof::Credential { ek_chain: vec![], ek_public: vec![] });
    let agent = |kind, tpm| Quoting::of(&Subject::Agent { role: "billing".parse().unwrap(), kind, tpm });
    assert_eq!(agent(EvidenceKind::Snp, None), Quoting::Nothing);
    assert_eq!(agent(EvidenceKind::SnpVtpm, None), Quoting::Quote);
    assert_eq!(agent(EvidenceKind::Tpm, Some(certified)), Quoting::Quote);
    assert_eq!(agent(EvidenceKind::Tpm, Some(endorsed)), Quoting::QuoteWithCredential);
    assert_eq!(Quoting::of(&Subject::Operator("op".parse().unwrap())), Quoting::Nothing);
}

#[test]
fn t2_step_8_a_selection_is_ascending_and_of_a_tpm() {
    let vault = FakeVault::new();
    for pcrs in [&[][..], &[7, 7], &[7, 0], &[24], &[0, 255]] {
        let offer = vault.offer(&hello(1), tpm_offer(pcrs));
        assert!(
            matches!(check(&vault, &offer, Quoting::QuoteWithCredential), Err(OfferError::Pcrs)),
            "{pcrs:?}"
        );
    }
}

fn verified(vault: &FakeVault) -> VerifiedVault {
    let key = P256PublicKey::from_spki(&vault.signing.spki()).unwrap();
    vault::verify(&vault.statement(), &key, &expected(&vault.pin()), now_secs()).unwrap()
}

/// What is found after one change to a right grant for a right key.
fn broken_grant(change: impl FnOnce(&mut FakeVault, &mut Grant, &[u8])) -> GrantError {
    let mut vault = FakeVault::new();
    let spki = P256Key::generate().unwrap().spki();
    let verified = verified(&vault);
    let mut grant = vault.grant(&spki);
    assert!(grant::verify(&grant, &spki, &verified, now_secs()).unwrap().ends_with("/billing"));
    change(&mut vault, &mut grant, &spki);
    grant::verify(&grant, &spki, &verified, now_secs()).unwrap_err()
}

#[test]
fn b6_grant_step_1_the_authority_is_the_verified_one() {
    let error = broken_grant(|_, grant, _| grant.authority = FakeVault::new().authority);
    assert!(matches!(error, GrantError::Authority));
}

#[test]
fn b1_b9_grant_step_2_the_identity_is_for_exactly_our_key() {
    let error = broken_grant(|vault, grant, _| {
        let other = P256Key::generate().unwrap().spki();
        grant.certificate = vault.identity_certificate(&other, &vault.spiffe("/billing"), 3600);
    });
    assert!(matches!(error, GrantError::Certificate(CertificateError::AnotherKey)));
}

#[test]
fn b8_grant_step_2_wrong_authority_expired_and_wrong_usage_are_refused() {
    let wrong_authority = broken_grant(|vault, grant, spki| {
        let other = FakeVault::new();
        grant.certificate = other.identity_certificate(spki, &vault.spiffe("/billing"), 3600);
    });
    let expired = broken_grant(|vault, grant, spki| {
        grant.certificate = vault.identity_certificate(spki, &vault.spiffe("/billing"), -60);
    });
    let server = broken_grant(|vault, grant, spki| {
        let names = vec![vault.spiffe("/billing")];
        grant.certificate = vault.certificate(spki, names, ExtendedKeyUsagePurpose::ServerAuth, 3600);
    });
    for error in [wrong_authority, expired, server] {
        assert!(matches!(error, GrantError::Certificate(CertificateError::Chain(_))), "{error:?}");
    }
    let junk = broken_grant(|_, grant, _| grant.certificate = vec![0x30, 0x80]);
    assert!(matches!(junk, GrantError::Certificate(CertificateError::Malformed)));
}

#[test]
fn v13_grant_step_2_one_spiffe_name_of_the_vaults_trust_domain() {
    let named = |names: fn(&FakeVault) -> Vec<rcgen::SanType>| {
        broken_grant(move |vault, grant, spki| {
            let names = names(vault);
            grant.certificate = vault.certificate(spki, names, ExtendedKeyUsagePurpose::ClientAuth, 3600);
        })
    };
    for error in [
        named(|_| vec![]),
        named(|vault| vec![vault.spiffe("/a"), vault.spiffe("/b")]),
        named(|vault| vec![vault.spiffe("")]),
        named(|vault| vec![vault.spiffe("/")]),
        named(|vault| vec![vault.spiffe(".evil.example/a")]),
        named(|_| vec![FakeVault::new().spiffe("/a")]),
        named(|_| vec![rcgen::SanType::URI("https://example.com/a".try_into().unwrap())]),
        named(|vault| {
            let dns = rcgen::SanType::DnsName(vault.vault_id.server_name().try_into().unwrap());
            vec![vault.spiffe("/a"), dns]
        }),
    ] {
        assert!(matches!(error, GrantError::Certificate(CertificateError::Name)), "{error:?}");
    }
}

#[test]
fn grant_step_3_the_receipt_is_proven() {
    let error = broken_grant(|_, grant, _| grant.receipt.leaf_index = 0);
    assert!(matches!(error, GrantError::Receipt(_)));
    let error = broken_grant(|_, grant, spki| grant.receipt = FakeVault::new().grant(spki).receipt);
    assert!(matches!(error, GrantError::Receipt(_)));
}

#[test]
fn b7_grant_step_4_the_receipt_is_for_our_key_and_not_a_refusal() {
    let actor = || Actor::Unknown("billing".parse().unwrap());
    let other = broken_grant(|vault, grant, _| {
        grant.receipt = vault.grant(&P256Key::generate().unwrap().spki()).receipt;
    });
    let refused = broken_grant(|vault, grant, spki| {
        let rule = Some("snp.policy.debug".to_owned());
        let action = Action::Introduce { key: spki.to_vec(), evidence: [1; 32], rule };
        grant.receipt = vault.append(actor(), action);
    });
    let something = broken_grant(|vault, grant, _| grant.receipt = vault.append(actor(), Action::Look));
    for error in [other, refused, something] {
        assert!(matches!(error, GrantError::ReceiptEntry), "{error:?}");
    }
}
