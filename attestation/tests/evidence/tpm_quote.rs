//! TPM quotes through the one entry point. Each test starts from evidence that is accepted, changes one thing, and
//! expects exactly one refusal.

use crate::snp_fixture;
use crate::snp_fixture::statement;
use crate::tpm_fixture::{Ak, Fixture, SHA1, accept, pcr_rule, pcrs, quote_over, tpm_accept};
use vouchsafe_attestation::tpm::attest::{AttestError, Quote};
use vouchsafe_attestation::tpm::quote::{Expected, PcrValues, QuoteError, verify_quote};
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_attestation::tpm::signature::{QuoteSignature, SignatureError};
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Claims, PlatformClass, Residency, appraise, parse_ak,
};
use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey};
use vouchsafe_protocol::evidence::{Evidence, PcrValue, TpmEvidence};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Accept, EkRule, PcrRule, Permission, TpmAccept, TpmKind};
use vouchsafe_simulation::tpm::sized;

#[test]
fn right_evidence_is_accepted_and_described() {
    let fixture = Fixture::new();
    let appraisal = fixture.appraise(fixture.good(), &[accept()]).unwrap();
    assert_eq!(
        appraisal.class,
        PlatformClass::Tpm { anchor: "maker".parse().unwrap(), kind: TpmKind::Hardware }
    );
    assert_eq!(appraisal.anchor_class, AnchorClass::Hardware);
    let Claims::Tpm(claims) = appraisal.claims else { panic!("claims of a TPM") };
    assert_eq!((claims.clock.reset_count, claims.clock.restart_count, claims.clock.safe), (5, 6, true));
    assert_eq!(claims.pcrs, pcrs());
}

#[test]
fn t1_a_structure_without_the_tpms_magic_is_refused() {
    let fixture = Fixture::new();
    let mut quote = quote_over(&pcrs());
    quote.magic ^= 1;
    assert_eq!(fixture.refusal_of(&quote), AppraisalError::Quote(QuoteError::Attest(AttestError::Magic)));
}

#[test]
fn t1_other_structures_signed_by_the_same_key_are_refused() {
    let fixture = Fixture::new();
    // NV, COMMAND_AUDIT, SESSION_AUDIT, CERTIFY, TIME, CREATION, NV_DIGEST, and nonsense.
    for kind in [0x8014, 0x8015, 0x8016, 0x8017, 0x8019, 0x801a, 0x801c, 0, 0xffff] {
        let mut quote = quote_over(&pcrs());
        quote.kind = kind;
        let expected = QuoteError::Attest(AttestError::Type { kind });
        assert_eq!(fixture.refusal_of(&quote), AppraisalError::Quote(expected));
    }
}

#[test]
fn t2_an_empty_selection_is_refused() {
    let fixture = Fixture::new();
    for selection in [vec![], vec![(0x000b, vec![])], vec![(0x000b, vec![0, 0, 0])]] {
        let mut quote = quote_over(&[]);
        quote.selection = selection;
        let evidence = fixture.evidence(&quote, &[]);
        assert_eq!(fixture.refusal(evidence.clone()), AppraisalError::TpmRule(TpmRuleError::Selection));
        // Even a rule that asks for nothing gets nothing.
        let nothing = Accept::Tpm(TpmAccept { pcrs: Vec::new(), ..tpm_accept() });
        let refused = fixture.appraise(evidence, &[nothing]).unwrap_err();
        assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Selection));
    }
}

#[test]
fn t2_partial_selection_is_refused() {
    let fixture = Fixture::new();
    for keep in pcrs() {
        let evidence = fixture.evidence(&quote_over(&[keep]), &[keep]);
        assert_eq!(fixture.refusal(evidence), AppraisalError::TpmRule(TpmRuleError::Selection));
    }
}

#[test]
fn t2_a_larger_selection_is_refused() {
    let fixture = Fixture::new();
    let more = [pcrs(), vec![PcrValue { index: 23, value: [1; 32] }]].concat();
    let evidence = fixture.evidence(&quote_over(&more), &more);
    assert_eq!(fixture.refusal(evidence), AppraisalError::TpmRule(TpmRuleError::Selection));
}

#[test]
fn t2_a_swapped_selection_is_refused() {
    let fixture = Fixture::new();
    // Right values, right digest, but said to be of PCR 1 and 7.
    let mut quote = quote_over(&pcrs());
    quote.selection = vec![(0x000b, vec![0x82, 0, 0])];
    assert_eq!(fixture.refusal_of(&quote), AppraisalError::TpmRule(TpmRuleError::Selection));
}

#[test]
fn t2_values_are_keyed_by_index_not_by_position() {
    let fixture = Fixture::new();
    let either = pcrs().iter().map(|pcr| pcr.value).collect::<Vec<_>>();
    let rule = |index| pcr_rule(index, &either);
    let rules = [Accept::Tpm(TpmAccept { pcrs: vec![rule(0), rule(7)], ..tpm_accept() })];
    let mut swapped = pcrs();
    (swapped[0].value, swapped[1].value) = (swapped[1].value, swapped[0].value);
    let mut evidence = fixture.good();
    evidence.pcrs = swapped.clone();
    let refused = fixture.appraise(evidence.clone(), &rules).unwrap_err();
    assert_eq!(refused, AppraisalError::Quote(QuoteError::PcrDigest));
    // Listing them the other way round does not help.
    evidence.pcrs = pcrs().into_iter().rev().collect();
    let refused = fixture.appraise(evidence, &rules).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Values));
    // The order in which a rule lists its PCRs does not matter.
    let rules = [Accept::Tpm(TpmAccept { pcrs: vec![rule(7), rule(0)], ..tpm_accept() })];
    fixture.appraise(fixture.good(), &rules).unwrap();
}

#[test]
fn t2_values_for_other_than_the_selected_pcrs_are_refused() {
    let fixture = Fixture::new();
    let extra = PcrValue { index: 9, value: [9; 32] };
    for values in [vec![], pcrs()[..1].to_vec(), [pcrs(), vec![extra]].concat(), [pcrs(), pcrs()].concat()] {
        let mut evidence = fixture.good();
        evidence.pcrs = values;
        assert_eq!(fixture.refusal(evidence), AppraisalError::TpmRule(TpmRuleError::Values));
    }
}

#[test]
fn t2_another_or_a_second_bank_is_refused() {
    let fixture = Fixture::new();
    for bank in [SHA1, 0x000c, 0x000d] {
        let mut quote = quote_over(&pcrs());
        quote.selection[0].0 = bank;
        assert_eq!(fixture.refusal_of(&quote), AppraisalError::TpmRule(TpmRuleError::Selection));
        let mut quote = quote_over(&pcrs());
        quote.selection.push((bank, vec![1, 0, 0]));
        assert_eq!(fixture.refusal_of(&quote), AppraisalError::TpmRule(TpmRuleError::Selection));
    }
    // One of which nothing is selected adds nothing to what is signed.
    for place in [0, 1] {
        let mut quote = quote_over(&pcrs());
        quote.selection.insert(place, (SHA1, vec![0, 0, 0]));
        fixture.appraise(fixture.evidence(&quote, &pcrs()), &[accept()]).unwrap();
    }
    let mut quote = quote_over(&pcrs());
    quote.selection[0].0 = 0x7777;
    let expected = QuoteError::Attest(AttestError::Bank { algorithm: 0x7777 });
    assert_eq!(fixture.refusal_of(&quote), AppraisalError::Quote(expected));
}

#[test]
fn another_pcr_value_is_refused_and_named() {
    let fixture = Fixture::new();
    let mut other = pcrs();
    other[1].value[31] ^= 1;
    let evidence = fixture.evidence(&quote_over(&other), &other);
    assert_eq!(fixture.refusal(evidence), AppraisalError::TpmRule(TpmRuleError::Value { index: 7 }));
}

#[test]
fn t2_accepted_values_that_were_not_quoted_are_refused() {
    let fixture = Fixture::new();
    let mut quote = quote_over(&pcrs());
    quote.pcr_digest = vec![0; 32];
    assert_eq!(fixture.refusal_of(&quote), AppraisalError::Quote(QuoteError::PcrDigest));
    quote.pcr_digest = Vec::new();
    assert_eq!(fixture.refusal_of(&quote), AppraisalError::Quote(QuoteError::PcrDigest));
}

#[test]
fn t4_a_quote_without_proof_of_residency_is_refused() {
    let fixture = Fixture::new();
    let evidence = Evidence::Tpm(fixture.good());
    let mut cache = ChainCache::new();
    let refused =
        appraise(&evidence, &statement(), &[accept()], Residency::NotATpm, fixture.context(), &mut cache);
    assert_eq!(refused.unwrap_err(), AppraisalError::NotResident);
}

#[test]
fn t4_a_quote_by_another_key_than_the_resident_one_is_refused() {
    let mut fixture = Fixture::new();
    let resident = fixture.resident();
    fixture.ak = Ak::generate();
    let evidence = Evidence::Tpm(fixture.good());
    let residency = Residency::Proven(&resident);
    let mut cache = ChainCache::new();
    let refused = appraise(&evidence, &statement(), &[accept()], residency, fixture.context(), &mut cache);
    assert_eq!(refused.unwrap_err(), AppraisalError::NotResident);
    // Naming the resident key does not help: it did not sign.
    let mut evidence = fixture.good();
    let own = Fixture { ak: Ak::generate(), ..fixture };
    evidence.ak_public = own.ak.public.clone();
    assert_eq!(own.refusal(evidence), AppraisalError::Quote(QuoteError::BadSignature));
}

#[test]
fn t9_a_pcr_that_was_never_extended_is_refused_unless_named() {
    let fixture = Fixture::new();
    let mut zero = pcrs();
    zero[0].value = [0; 32];
    let evidence = fixture.evidence(&quote_over(&zero), &zero);
    let rule = |all_zero| {
        let mut accept = tpm_accept();
        accept.pcrs[0] = PcrRule { all_zero, ..pcr_rule(0, &[[0; 32]]) };
        Accept::Tpm(accept)
    };
    let refused = fixture.appraise(evidence.clone(), &[rule(Permission::Forbidden)]).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::AllZero { index: 0 }));
    fixture.appraise(evidence, &[rule(Permission::Allowed)]).unwrap();
}

#[test]
fn t10_nonce_key_and_pcrs_are_in_one_signed_structure() {
    let fixture = Fixture::new();
    let good = fixture.good();
    for byte in 0..good.quote.len() {
        for bit in 0..8 {
            let mut evidence = good.clone();
            evidence.quote[byte] ^= 1 << bit;
            fixture.refusal(evidence);
        }
    }
    // The clock is looked at by no rule: only the signature covers it.
    let mut evidence = good;
    let clock = 4 + 2 + 7 + 34;
    evidence.quote[clock] ^= 1;
    assert_eq!(fixture.refusal(evidence), AppraisalError::Quote(QuoteError::BadSignature));
}

#[test]
fn b4_qualifying_data_is_compared_whole() {
    let fixture = Fixture::new();
    let right = statement().tpm_qualifying_data().to_vec();
    let longer = [right.clone(), vec![0]].concat();
    let mut other = right.clone();
    other[31] ^= 1;
    for extra_data in [Vec::new(), right[..31].to_vec(), longer, other, vec![0; 32]] {
        let mut quote = quote_over(&pcrs());
        quote.extra_data = extra_data.clone();
        assert_eq!(fixture.refusal_of(&quote), AppraisalError::Statement);
        let bytes = quote.encode();
        let ak = parse_ak(&fixture.ak.public).unwrap();
        let expected =
            Expected { key: ak.key(), scheme: None, extra_data: &right, sha1: Permission::Forbidden };
        let signature = QuoteSignature::parse(&fixture.ak.sign(&bytes)).unwrap();
        let quote = Quote::parse(&bytes).unwrap();
        let refused = verify_quote(&bytes, &quote, &signature, &PcrValues::new(), expected);
        assert_eq!(refused, Err(QuoteError::ExtraData));
    }
}

#[test]
fn t13_the_anchor_that_matched_must_be_one_the_rule_names() {
    let fixture = Fixture::new();
    let other = TpmAccept { anchors: vec!["cloud-vtpm".parse().unwrap()], ..tpm_accept() };
    let refused = fixture.appraise(fixture.good(), &[Accept::Tpm(other)]).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Anchor));
}

#[test]
fn b11_a_tpm_that_is_not_on_the_list_is_refused() {
    let fixture = Fixture::new();
    let listed = |digest| Accept::Tpm(TpmAccept { ek: EkRule::Allow(vec![digest]), ..tpm_accept() });
    let refused = fixture.appraise(fixture.good(), &[listed([0; 32])]).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::EkNotListed));
    let own = *fixture.resident().spki_digest();
    fixture.appraise(fixture.good(), &[listed(own)]).unwrap();
}

#[test]
fn any_one_rule_suffices_and_the_furthest_refusal_is_told() {
    let fixture = Fixture::new();
    let other = Accept::Tpm(TpmAccept { anchors: vec!["x".parse().unwrap()], ..tpm_accept() });
    let appraisal =
        fixture.appraise(fixture.good(), &[snp_fixture::accept(), other.clone(), accept()]).unwrap();
    assert_eq!(appraisal.rule, 2);
    let mut wrong = tpm_accept();
    wrong.pcrs[1] = pcr_rule(7, &[[2; 32]]);
    let wrong = Accept::Tpm(wrong);
    for rules in [[wrong.clone(), other.clone()], [other, wrong]] {
        let refused = fixture.appraise(fixture.good(), &rules).unwrap_err();
        assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Value { index: 7 }));
    }
    let refused = fixture.appraise(fixture.good(), &[snp_fixture::accept()]).unwrap_err();
    assert_eq!(refused, AppraisalError::Kind);
}

#[test]
fn a_signature_of_another_scheme_is_refused() {
    let fixture = Fixture::new();
    let mut evidence = fixture.good();
    evidence.signature = [&[0x00, 0x14, 0x00, 0x0b], sized(&[1; 256]).as_slice()].concat();
    assert_eq!(fixture.refusal(evidence.clone()), AppraisalError::Quote(QuoteError::Scheme));
    for algorithm in [0x0010, 0x0005, 0x001a, 0xffff] {
        evidence.signature[..2].copy_from_slice(&u16::to_be_bytes(algorithm));
        let expected = QuoteError::Signature(SignatureError::Algorithm { algorithm });
        assert_eq!(fixture.refusal(evidence.clone()), AppraisalError::Quote(expected));
    }
}

#[test]
fn s13_out_of_range_scalars_of_a_quote_are_refused() {
    let fixture = Fixture::new();
    let good = fixture.good();
    for (r, s) in [([0; 32], [1; 32]), ([1; 32], [0; 32]), ([0xff; 32], [1; 32])] {
        let mut evidence = good.clone();
        evidence.signature = [&[0x00, 0x18, 0x00, 0x0b], sized(&r).as_slice(), sized(&s).as_slice()].concat();
        assert_eq!(fixture.refusal(evidence), AppraisalError::Quote(QuoteError::BadSignature));
    }
    for scalar in [Vec::new(), vec![1; 49]] {
        let mut evidence = good.clone();
        evidence.signature =
            [&[0x00, 0x18, 0x00, 0x0b], sized(&scalar).as_slice(), sized(&[1; 32]).as_slice()].concat();
        let expected = QuoteError::Signature(SignatureError::Malformed);
        assert_eq!(fixture.refusal(evidence), AppraisalError::Quote(expected));
    }
    // As long as another curve's.
    let longer = [&[0x00, 0x18, 0x00, 0x0b], sized(&[1; 33]).as_slice(), sized(&[1; 32]).as_slice()].concat();
    let evidence = TpmEvidence { signature: longer, ..good };
    assert_eq!(fixture.refusal(evidence), AppraisalError::Quote(QuoteError::BadSignature));
}

#[test]
fn s16_every_other_length_of_quote_and_signature_is_refused() {
    let fixture = Fixture::new();
    let good = fixture.good();
    for len in (0..good.quote.len()).chain([good.quote.len() + 1, 5000]) {
        let mut evidence = good.clone();
        evidence.quote.resize(len, 0);
        let refused = fixture.refusal(evidence);
        let malformed = AppraisalError::Quote(QuoteError::Attest(AttestError::Malformed));
        assert_eq!(refused, malformed, "{len}");
    }
    for len in (0..good.signature.len()).chain([good.signature.len() + 1, 5000]) {
        let mut evidence = good.clone();
        evidence.signature.resize(len, 0);
        let malformed = AppraisalError::Quote(QuoteError::Signature(SignatureError::Malformed));
        assert_eq!(fixture.refusal(evidence), malformed, "{len}");
    }
}

#[test]
fn sizes_inside_a_quote_are_bounded() {
    let fixture = Fixture::new();
    let mut quote = quote_over(&pcrs());
    quote.safe = 2;
    let malformed = AppraisalError::Quote(QuoteError::Attest(AttestError::Malformed));
    assert_eq!(fixture.refusal_of(&quote), malformed);
    quote.safe = 1;
    quote.selection = vec![(0x000b, vec![0; 255])];
    assert_eq!(fixture.refusal_of(&quote), malformed);
    quote.selection = vec![(0x000b, vec![1, 0, 0]); 2];
    assert_eq!(fixture.refusal_of(&quote), malformed);
    let mut evidence = fixture.good();
    let count = 4 + 2 + 7 + 34 + 8 + 4 + 4 + 1 + 8;
    evidence.quote[count..count + 4].copy_from_slice(&[0xff; 4]);
    assert_eq!(fixture.refusal(evidence), malformed);
}

/// A quote over [`pcrs`] with the nonce "nonce", signed with RSASSA-PKCS1-v1_5 and SHA-1 by OpenSSL: no signer here makes
/// such signatures.
const SHA1_QUOTE: &str = "ff54434780180005000b01020300056e6f6e6365000000000000004d00000005000000060100000000000000080000000100\
     0b038100000014016a2994651c72431b357b98ed57fdb9a5c53d62";
const SHA1_SIGNATURE: &str = "4d93f5f94dc6b17d5477792ac8348a1816fce7f1ee23ad1e23e578b3c3f614453c8616ae344253047a76599adc458ea0db40\
     e88f8d6e2aba8e62a3b9fafea50c2f4392d7f01f4ad1dd403134a3fbb246382f95fca68db4abfb5b516bc21f8a6288f5443f\
     bc253c82fa8ab087ce5b7dcc881ac290f8cc25e6c95a6c55d64467b1ff6776da9c0f48a082610871e3629b0d05a8e987f0cd\
     458266d5768843d13586e11daa70f87d833050a1d9624f7bc2ad08ac4c09cb99d1e81e06f23fdabe1d834b6f5b542ab0e121\
     c485799b0e8875ff7980115126693307e9f128af886d03536fab5d9409d7932a678cafecaf5fd5ccdfa375431afb58fd8c82\
     86e29d662bea";
const SHA1_MODULUS: &str = "9e43b4ede694c7967646c4f8b46eef2d8374be25316acde6ae72d1f9ea997c1a5b3d32607e59d1296742427b168fad8ab78d\
     2e530b12068b87b34f53af91a0f4b9cd136f10a55e609ca74002b38e5d1539b332223e0bab6b330d3cc18a49b407b1029d6b\
     6a53874c325644010655449275787499f5a7ff858f10c95b7a83cabfda427d0bc7d395bd4ac56bdb4cea1c1ede30fa2846f3\
     3767b7d8313af6adf143ea4b45e0304ad87238b31f097aaf0d63dbf43c178e8fb0996b1bb3640f5752559035c8e22682fdd5\
     6bb33500e90fba52241002f2506366db391260e40e90d2072a2c300e590fcf550ba96d07e42f178ee68f316fc07e9fd510d2\
     712143780bdb";

#[test]
fn t9_a_signature_over_sha1_is_verified_for_a_policy_that_names_it_alone() {
    let bytes = |hex: &str| hex::decode(hex).unwrap();
    let (quote, modulus) = (bytes(SHA1_QUOTE), bytes(SHA1_MODULUS));
    let key = PublicKey::Rsa { modulus, exponent: vec![1, 0, 1] };
    let signature = [&[0x00, 0x14, 0x00, 0x04][..], &sized(&bytes(SHA1_SIGNATURE))].concat();
    let values = pcrs().iter().map(|pcr| ((HashAlgorithm::Sha256, pcr.index), pcr.value.to_vec())).collect();
    let verify = |signature: &[u8], sha1| {
        let expected = Expected { key: &key, scheme: None, extra_data: b"nonce", sha1 };
        let signature = QuoteSignature::parse(signature).unwrap();
        verify_quote(&quote, &Quote::parse(&quote).unwrap(), &signature, &values, expected)
    };
    assert_eq!(verify(&signature, Permission::Allowed), Ok(()));
    assert_eq!(verify(&signature, Permission::Forbidden), Err(QuoteError::Sha1));
    let mut forged = signature;
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&forged, Permission::Allowed), Err(QuoteError::BadSignature));
}
