//! A TPM in software: keys made here, structures in the TPM's own bytes, certificates of a test authority.

use vouchsafe_attestation::{
    Appraisal, AppraisalError, ChainCache, Collateral, Context, Residency, ResidentAk, TrustAnchors,
    appraise, confirm_residency, parse_ak, verify_ek,
};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::evidence::{AkProof, Evidence, Logs, PcrValue, TpmEvidence, TpmKeys};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{
    Accept, AkRule, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, TpmAccept, TpmKind,
    TpmKindRule,
};
use vouchsafe_simulation::Validity;
use vouchsafe_simulation::tpm::{
    ALG_SHA1, PublicSpec, QuoteBuilder, TpmAuthority, TpmCertificateSpec, TpmKey, TpmKeyKind,
};

use crate::snp_fixture::{NOW, statement};

pub const SHA1: u16 = ALG_SHA1;
/// 2026-01-01 and the seconds around it.
pub const EXPIRED: Validity = Validity { not_before: 1_577_836_800, not_after: NOW - 1 };
pub const FUTURE: Validity = Validity { not_before: NOW + 1, not_after: NOW + 1000 };

pub fn ca(name: &str) -> TpmAuthority {
    TpmAuthority::generate(name).unwrap()
}

/// An authority below another.
pub fn below(upper: &TpmAuthority, spec: &TpmCertificateSpec) -> TpmAuthority {
    upper.below(p256_key(), spec).unwrap()
}

pub fn ca_spec(name: &str) -> TpmCertificateSpec {
    TpmCertificateSpec::authority(name)
}

pub fn ek_spec() -> TpmCertificateSpec {
    TpmCertificateSpec::maker_ek(TpmKeyKind::EcdsaP256)
}

pub fn p256_key() -> TpmKey {
    TpmKey::generate(TpmKeyKind::EcdsaP256).unwrap()
}

/// An attestation key, with the private part that a TPM would keep.
pub struct Ak {
    pub key: TpmKey,
    pub public: Vec<u8>,
}

impl Ak {
    pub fn generate() -> Self {
        Self::of(p256_key())
    }

    pub fn of(key: TpmKey) -> Self {
        Self { public: key.ak_public(), key }
    }

    pub fn with_attributes(attributes: u32) -> Self {
        let key = p256_key();
        let public = key.public_area(&PublicSpec { attributes, ..PublicSpec::ak(key.kind()) });
        Self { key, public }
    }

    /// TPMT_SIGNATURE over bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).unwrap()
    }
}

/// A right quote over the statement and the SHA-256 values of PCRs.
pub fn quote_over(pcrs: &[PcrValue]) -> QuoteBuilder {
    QuoteBuilder::over(TpmKeyKind::EcdsaP256, pcrs, &statement().tpm_qualifying_data())
}

pub struct Fixture {
    pub ca: TpmAuthority,
    pub ek: TpmKey,
    pub ak: Ak,
    pub anchors: TrustAnchors,
    pub collateral: Collateral,
}

impl Fixture {
    pub fn new() -> Self {
        let ca = ca("TPM maker");
        let anchors = anchors(&[("maker", AnchorClass::Hardware, vec![ca.der().to_vec()])]);
        Self { ca, ek: p256_key(), ak: Ak::generate(), anchors, collateral: Collateral::new() }
    }

    pub fn context(&self) -> Context<'_> {
        Context { anchors: &self.anchors, collateral: &self.collateral, now_unix_secs: NOW }
    }

    /// What the TPM says of its keys, right.
    pub fn keys(&self) -> TpmKeys {
        self.keys_with(&ek_spec())
    }

    /// With a certificate of other contents, by the right authority.
    pub fn keys_with(&self, spec: &TpmCertificateSpec) -> TpmKeys {
        self.keys_of(vec![self.ek_certificate(&self.ca, spec)])
    }

    /// With this chain.
    pub fn keys_of(&self, ek_chain: Vec<Vec<u8>>) -> TpmKeys {
        self.keys_as(ek_chain, &PublicSpec::ek())
    }

    /// With this chain and public area.
    pub fn keys_as(&self, ek_chain: Vec<Vec<u8>>, public: &PublicSpec) -> TpmKeys {
        let proof = AkProof::Credential { ek_chain, ek_public: self.ek.public_area(public) };
        TpmKeys { ak_public: self.ak.public.clone(), proof }
    }

    pub fn ek_certificate(&self, issuer: &TpmAuthority, spec: &TpmCertificateSpec) -> Vec<u8> {
        issuer.issue(spec, &self.ek.spki().unwrap()).unwrap()
    }

    /// The AK, proven resident.
    pub fn resident(&self) -> ResidentAk {
        let ek = verify_ek(&self.keys(), &self.anchors, NOW).unwrap();
        let ak = parse_ak(&self.ak.public).unwrap();
        confirm_residency(ek, ak, &secret(), &[0x5e; 32]).unwrap()
    }

    /// Evidence of a quote, signed by the AK, with these values.
    pub fn evidence(&self, quote: &QuoteBuilder, pcrs: &[PcrValue]) -> TpmEvidence {
        let quote = quote.encode();
        let signature = self.ak.sign(&quote);
        let ak_public = self.ak.public.clone();
        TpmEvidence { quote, signature, ak_public, pcrs: pcrs.to_vec(), logs: Logs::default() }
    }

    pub fn good(&self) -> TpmEvidence {
        self.evidence(&quote_over(&pcrs()), &pcrs())
    }

    pub fn appraise(&self, evidence: TpmEvidence, rules: &[Accept]) -> Result<Appraisal, AppraisalError> {
        self.appraise_as(evidence, rules, &self.resident())
    }

    pub fn appraise_as(
        &self,
        evidence: TpmEvidence,
        rules: &[Accept],
        resident: &ResidentAk,
    ) -> Result<Appraisal, AppraisalError> {
        let evidence = Evidence::Tpm(evidence);
        let residency = Residency::Proven(resident);
        appraise(&evidence, &statement(), rules, residency, self.context(), &mut ChainCache::new())
    }

    pub fn refusal(&self, evidence: TpmEvidence) -> AppraisalError {
        self.appraise(evidence, &[accept()]).unwrap_err()
    }

    /// The refusal of a quote that is signed right.
    pub fn refusal_of(&self, quote: &QuoteBuilder) -> AppraisalError {
        self.refusal(self.evidence(quote, &pcrs()))
    }
}

/// The secret that [`Fixture::resident`] answers with.
pub fn secret() -> Key32 {
    Key32::take(&mut [0x5e; 32]).unwrap()
}

pub fn anchors(sets: &[(&str, AnchorClass, Vec<Vec<u8>>)]) -> TrustAnchors {
    TrustAnchors::new(&anchor_sets(sets)).unwrap()
}

/// Sets that stand for hardware.
pub fn anchor_sets(sets: &[(&str, AnchorClass, Vec<Vec<u8>>)]) -> Anchors {
    let tpm = sets
        .iter()
        .map(|(name, class, certificates)| TpmAnchor {
            name: name.parse().unwrap(),
            class: *class,
            kind: TpmKind::Hardware,
            certificates: certificates.clone(),
        })
        .collect();
    Anchors { amd: AmdAnchors::BuiltIn, tpm }
}

/// PCR 0 and 7.
pub fn pcrs() -> Vec<PcrValue> {
    vec![PcrValue { index: 0, value: [0xa0; 32] }, PcrValue { index: 7, value: [0xa7; 32] }]
}

pub fn accept() -> Accept {
    Accept::Tpm(tpm_accept())
}

/// A rule for one PCR.
pub fn pcr_rule(index: u8, values: &[[u8; 32]]) -> PcrRule {
    let values = values.iter().map(|value| (*value).into()).collect();
    PcrRule { index, expected: PcrExpectation::Values(values), all_zero: Permission::Forbidden }
}

pub fn pcr_rules() -> Vec<PcrRule> {
    pcrs().into_iter().map(|pcr| pcr_rule(pcr.index, &[[1; 32], pcr.value])).collect()
}

pub fn tpm_accept() -> TpmAccept {
    TpmAccept {
        anchors: vec!["maker".parse().unwrap()],
        kind: TpmKindRule::Hardware,
        pcrs: pcr_rules(),
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        ak: AkRule::ByCredential,
        ek: EkRule::AnyTpm,
    }
}
