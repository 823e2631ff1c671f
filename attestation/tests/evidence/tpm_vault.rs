//! A vault whose TPM an agent pinned.

use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_attestation::{AppraisalError, ChainCache, PlatformClass, appraise_vault, parse_ak};
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::policy::{TpmPin, VaultPlatformPin};
use vouchsafe_simulation::tpm::AK_ATTRIBUTES;

use crate::snp_fixture::{self, statement};
use crate::tpm_fixture::{Ak, Fixture, pcrs, quote_over};

#[test]
fn a_pinned_vault_is_its_key_its_pcrs_and_its_statement() {
    let fixture = Fixture::new();
    let pin = TpmPin { ak_name: parse_ak(&fixture.ak.public).unwrap().name().to_vec(), pcrs: pcrs() };
    let ask = |evidence, pin| {
        let evidence = Evidence::Tpm(evidence);
        let pin = VaultPlatformPin::Tpm(pin);
        appraise_vault(&evidence, &statement(), &pin, fixture.context(), &mut ChainCache::new())
    };
    assert_eq!(ask(fixture.good(), pin.clone()).unwrap().class, PlatformClass::TpmPinned);

    let other_key = TpmPin { ak_name: vec![0; 34], ..pin.clone() };
    assert_eq!(ask(fixture.good(), other_key).unwrap_err(), AppraisalError::AkNotPinned);
    let no_key = TpmPin { ak_name: Vec::new(), ..pin.clone() };
    assert_eq!(ask(fixture.good(), no_key).unwrap_err(), AppraisalError::AkNotPinned);

    let mut other_pcr = pin.clone();
    other_pcr.pcrs[0].value[0] ^= 1;
    let refused = ask(fixture.good(), other_pcr).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Value { index: 0 }));
    let fewer = TpmPin { pcrs: pcrs()[..1].to_vec(), ..pin.clone() };
    let refused = ask(fixture.good(), fewer).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Selection));
    let none = TpmPin { pcrs: Vec::new(), ..pin.clone() };
    let empty = fixture.evidence(&quote_over(&[]), &[]);
    assert_eq!(ask(empty, none).unwrap_err(), AppraisalError::TpmRule(TpmRuleError::Selection));

    let mut over_other = quote_over(&pcrs());
    over_other.extra_data = vec![0; 32];
    let refused = ask(fixture.evidence(&over_other, &pcrs()), pin.clone()).unwrap_err();
    assert_eq!(refused, AppraisalError::Statement);

    let mut forged = fixture.good();
    forged.signature = Ak::generate().sign(&forged.quote);
    assert_eq!(ask(forged, pin).unwrap_err(), AppraisalError::Quote(QuoteError::BadSignature));
}

#[test]
fn t5_a_pinned_key_that_is_not_restricted_is_refused() {
    let mut fixture = Fixture::new();
    fixture.ak = Ak::with_attributes(AK_ATTRIBUTES & !(1 << 16));
    let name = vouchsafe_attestation::tpm::public::name(&fixture.ak.public).to_vec();
    let pin = VaultPlatformPin::Tpm(TpmPin { ak_name: name, pcrs: pcrs() });
    let evidence = Evidence::Tpm(fixture.good());
    let refused = appraise_vault(&evidence, &statement(), &pin, fixture.context(), &mut ChainCache::new());
    let expected = AppraisalError::Ak(vouchsafe_attestation::AkError::Unrestricted);
    assert_eq!(refused.unwrap_err(), expected);
}

#[test]
fn a_pin_of_another_kind_refuses() {
    let fixture = Fixture::new();
    let pin = VaultPlatformPin::Snp(snp_fixture::snp_accept());
    let evidence = Evidence::Tpm(fixture.good());
    let refused = appraise_vault(&evidence, &statement(), &pin, fixture.context(), &mut ChainCache::new());
    assert_eq!(refused.unwrap_err(), AppraisalError::Kind);
}
