use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, ResidentAk, TrustAnchors, appraise,
    confirm_residency, make_credential, parse_ak, verify_ek,
};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::evidence::{AkProof, TpmEvidence};
use vouchsafe_protocol::policy::{
    Accept, AkRule, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, TpmAccept, TpmKind,
    TpmKindRule,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const QUOTED: [u8; 3] = [0, 4, 7];

fn anchors(tpm: &Swtpm) -> TrustAnchors {
    let anchor = TpmAnchor {
        name: "swtpm".parse().unwrap(),
        class: AnchorClass::Simulated,
        kind: TpmKind::Hardware,
        certificates: tpm.ek_anchors().unwrap(),
    };
    TrustAnchors::new(&Anchors { amd: AmdAnchors::BuiltIn, tpm: vec![anchor] }).unwrap()
}

fn ek_chain(keys: &TpmKeys) -> Vec<Vec<u8>> {
    match &keys.proof {
        AkProof::Credential { ek_chain, .. } => ek_chain.clone(),
        AkProof::Certificate { .. } => panic!("a TPM of its own showed a certificate of its attestation key"),
    }
}

/// A moment at which the EK certificate is valid.
fn now(keys: &TpmKeys) -> u64 {
    let chain = ek_chain(keys);
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    u64::try_from(leaf.validity().not_before.timestamp()).unwrap() + 60
}

/// What a verifier does with a machine: EK to an anchor, credential, answer.
fn residency(tpm: &Swtpm, machine: &mut TpmPlatform) -> (ResidentAk, u64) {
    let keys = machine.tpm_keys().unwrap().unwrap();
    let now = now(&keys);
    let ek = verify_ek(&keys, &anchors(tpm), now).unwrap();
    let ak = parse_ak(&keys.ak_public).unwrap();
    let secret = random::key().unwrap();
    let blob = make_credential(&ek, &ak, &secret).unwrap();
    let answer = machine.activate(&blob).unwrap();
    (confirm_residency(ek, ak, &secret, answer.expose_secret()).unwrap(), now)
}

fn quote(machine: &mut TpmPlatform, challenge: &[u8], pcrs: &[u8]) -> TpmEvidence {
    match machine.evidence(&statement(challenge), pcrs, LogsWanted::default()).unwrap() {
        Evidence::Tpm(evidence) => evidence,
        Evidence::Snp(_) | Evidence::SnpVtpm(_) => panic!("a TPM gave an SNP report"),
    }
}

fn accepting(evidence: &TpmEvidence) -> Accept {
    let rule = |pcr: &vouchsafe_protocol::evidence::PcrValue| PcrRule {
        index: pcr.index,
        expected: PcrExpectation::Values(vec![pcr.value.into()]),
        all_zero: Permission::Forbidden,
    };
    Accept::Tpm(TpmAccept {
        anchors: vec!["swtpm".parse().unwrap()],
        kind: TpmKindRule::Hardware,
        pcrs: evidence.pcrs.iter().map(rule).collect(),
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        ak: AkRule::ByCredential,
        ek: EkRule::AnyTpm,
    })
}

fn judge(
    tpm: &Swtpm,
    resident: &ResidentAk,
    now: u64,
    evidence: TpmEvidence,
    challenge: &[u8],
    rule: Accept,
) -> Result<(), AppraisalError> {
    let (evidence, residency) = (Evidence::Tpm(evidence), Residency::Proven(resident));
    let mut cache = ChainCache::new();
    let (anchors, collateral) = (anchors(tpm), Collateral::new());
    let context = Context { anchors: &anchors, collateral: &collateral, now_unix_secs: now };
    appraise(&evidence, &statement(challenge), &[rule], residency, context, &mut cache).map(drop)
}

#[test]
fn a_machine_is_accepted_by_the_verifier_from_end_to_end() {
    let tpm = Swtpm::create().unwrap();
    let mut machine = platform(&tpm);
    let (resident, now) = residency(&tpm, &mut machine);
    let evidence = quote(&mut machine, b"challenge", &QUOTED);
    assert_eq!(evidence.pcrs.iter().map(|pcr| pcr.index).collect::<Vec<_>>(), QUOTED);
    assert_eq!(evidence.logs, Logs::default(), "none was wanted");
    let rule = accepting(&evidence);
    judge(&tpm, &resident, now, evidence.clone(), b"challenge", rule.clone()).unwrap();

    let other = judge(&tpm, &resident, now, evidence, b"another challenge", rule.clone());
    assert!(matches!(other, Err(AppraisalError::Statement)), "{other:?}");

    tpm.extend(7, [9; 32]).unwrap();
    let evidence = quote(&mut machine, b"challenge", &QUOTED);
    let changed = judge(&tpm, &resident, now, evidence, b"challenge", rule);
    assert!(changed.is_err(), "a PCR changed");
}

#[test]
fn many_pcrs_fit_in_one_quote() {
    let tpm = Swtpm::create().unwrap();
    let mut machine = platform(&tpm);
    let all: Vec<u8> = (0..24).collect();
    let (resident, now) = residency(&tpm, &mut machine);
    let evidence = quote(&mut machine, b"challenge", &all);
    assert_eq!(evidence.pcrs.len(), 24);
    let Accept::Tpm(mut accept) = accepting(&evidence) else { panic!("a TPM's rule") };
    accept.pcrs.iter_mut().for_each(|rule| rule.all_zero = Permission::Allowed);
    judge(&tpm, &resident, now, evidence, b"challenge", Accept::Tpm(accept)).unwrap();
}

#[test]
fn t2_a_selection_that_cannot_be_is_refused_before_the_tpm_is_asked() {
    let tpm = Swtpm::create().unwrap();
    let mut machine = platform(&tpm);
    for pcrs in [&[][..], &[7, 0], &[7, 7], &[24]] {
        let error = machine.evidence(&statement(b"c"), pcrs, LogsWanted::default()).unwrap_err();
        assert!(matches!(error, PlatformError::Tpm(TpmError::PcrSelection)), "{error:?}");
    }
}

#[test]
fn t4_a_credential_for_another_tpm_or_key_does_not_open() {
    let (tpm, other_tpm) = (Swtpm::create().unwrap(), Swtpm::create().unwrap());
    let (mut machine, mut other_machine, mut other_key) =
        (platform(&tpm), platform(&other_tpm), platform(&tpm));
    let keys = machine.tpm_keys().unwrap().unwrap();
    let ek = verify_ek(&keys, &anchors(&tpm), now(&keys)).unwrap();
    let ak = parse_ak(&keys.ak_public).unwrap();
    let secret = random::key().unwrap();
    let blob = make_credential(&ek, &ak, &secret).unwrap();

    assert!(machine.activate(&blob).unwrap().ct_eq(secret.expose_secret()));
    other_machine.tpm_keys().unwrap();
    other_key.tpm_keys().unwrap();
    let mut short = blob.clone();
    short.id_object.pop();
    let mut changed = blob.clone();
    *changed.id_object.last_mut().unwrap() ^= 1;
    let attempts = [
        ("another TPM", other_machine.activate(&blob)),
        ("another attestation key", other_key.activate(&blob)),
        ("cut", machine.activate(&short)),
        ("changed", machine.activate(&changed)),
    ];
    for (what, result) in attempts {
        let error = result.err().unwrap();
        assert!(matches!(error, PlatformError::Tpm(TpmError::Credential)), "{what}: {error:?}");
    }
}

#[test]
fn t5_the_attestation_key_is_restricted_and_its_name_stays() {
    let (tpm, _, sealed) = vault();
    let mut machine = platform(&tpm);
    machine.unseal(&sealed).unwrap();
    let name = |machine: &mut TpmPlatform| {
        let keys = machine.tpm_keys().unwrap().unwrap();
        *parse_ak(&keys.ak_public).unwrap().name()
    };
    let first = name(&mut machine);
    let mut restarted = platform(&tpm);
    restarted.unseal(&sealed).unwrap();
    assert_eq!(name(&mut restarted), first);
    assert_ne!(name(&mut platform(&tpm)), first, "a key of its own without a record");
}

#[test]
fn the_chain_of_a_file_goes_above_the_certificate_of_the_tpm() {
    let tpm = Swtpm::create().unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("chain.der");
    let issuer = tpm.ek_anchors().unwrap().remove(1);
    std::fs::write(&path, &issuer).unwrap();
    let with_chain = |path: &std::path::Path| TpmConfig { ek_chain: Some(path.to_owned()), ..config(&tpm) };

    let keys = TpmPlatform::open(with_chain(&path)).unwrap().tpm_keys().unwrap().unwrap();
    let chain = ek_chain(&keys);
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], issuer);

    std::fs::write(&path, b"no certificate").unwrap();
    let error = TpmPlatform::open(with_chain(&path)).unwrap().tpm_keys().unwrap_err();
    assert!(
        matches!(error, PlatformError::Tpm(TpmError::Keys(KeysError::EkChainDamaged { .. }))),
        "{error:?}"
    );
    let missing = dir.path().join("missing");
    let error = TpmPlatform::open(with_chain(&missing)).unwrap().tpm_keys().unwrap_err();
    assert!(matches!(error, PlatformError::Tpm(TpmError::Keys(KeysError::EkChainFile { .. }))), "{error:?}");
}
