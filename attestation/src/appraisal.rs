//! The one entry point: evidence in, a result that exists only if everything held.
//!
//! Called with evidence of agents (rules of a role) and of vaults (an agent's pin). The Attester controls every
//! byte of the evidence and nothing else. INVARIANT: an [`Appraisal`] is made only here, after every check, from
//! the bytes that were verified. Left to the caller: that the challenge in the statement is fresh and unused.

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{Evidence, PcrValue, SnpEvidence, TpmEvidence};
use vouchsafe_protocol::id::{AnchorClass, AnchorName};
use vouchsafe_protocol::policy::{
    Accept, ChipId, ChipRule, LaunchDigest, Permission, Product, SnpAccept, Tcb, TpmAccept, TpmKind, TpmPin,
    VaultPlatformPin,
};

use crate::accepting::{first_accepting, first_passing, of_kind};
use crate::anchors::TrustAnchors;
use crate::azure::appraisal::{SnpVtpmClaims, appraise_snp_vtpm};
use crate::cache::ChainCache;
use crate::collateral::Collateral;
use crate::error::AppraisalError;
use crate::snp::report::{Mitigations, SigningKey};
use crate::snp::rules::{self as snp_rules, Warning};
use crate::snp::verify::{ReadReport, VerifiedReport};
use crate::statement::StatementPreimage;
use crate::tpm::ak::{AttestationKey, parse_ak};
use crate::tpm::attest::{ClockInfo, Quote};
use crate::tpm::logs::ReadLogs;
use crate::tpm::public;
use crate::tpm::quote::{Expected, PcrValues, QuoteError, verify_quote};
use crate::tpm::residency::{ResidentAk, ShownBy};
use crate::tpm::rules as tpm_rules;
use crate::tpm::signature::QuoteSignature;

/// What evidence is judged by, beside rules.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Roots.
    pub anchors: &'a TrustAnchors,
    /// What endorses evidence and did not come with it.
    pub collateral: &'a Collateral,
    /// The time, in seconds since 1970.
    pub now_unix_secs: u64,
}

/// What is known of the TPM behind a quote.
#[derive(Clone, Copy, Debug)]
pub enum Residency<'a> {
    /// The evidence is not a quote.
    NotATpm,
    /// The TPM proved that it holds this key.
    Proven(&'a ResidentAk),
}

/// The result of an appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// What kind of platform it is.
    pub class: PlatformClass,
    /// Whether it is real.
    pub anchor_class: AnchorClass,
    /// SHA-256 of the evidence as encoded on the wire.
    pub evidence_digest: [u8; 32],
    /// Which platform it is.
    pub platform_id: PlatformId,
    /// Index of the rule that accepted it; 0 for a pin.
    pub rule: usize,
    /// What was accepted for the sake of a rollout, and will not be for long.
    pub warnings: Vec<Warning>,
    /// What was shown.
    pub claims: Claims,
}

/// Kinds of platform, by what vouches for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformClass {
    /// A guest on one AMD chip.
    SnpVcek {
        /// Product.
        product: Product,
    },
    /// A guest on some AMD chip of one cloud provider.
    SnpVlek {
        /// Product.
        product: Product,
    },
    /// A guest on an AMD chip with a paravisor that runs its virtual TPM, inside the guest's boundary.
    SnpVtpm {
        /// Product.
        product: Product,
    },
    /// A TPM that an anchor set vouches for.
    Tpm {
        /// Set.
        anchor: AnchorName,
        /// Kind of TPM that the set stands for.
        kind: TpmKind,
    },
    /// A TPM whose attestation key is pinned.
    TpmPinned,
}

/// Names one platform, as far as its evidence does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformId {
    /// SHA-256 of the SubjectPublicKeyInfo of an attestation key: a certified one, or a paravisor's.
    Ak([u8; 32]),
    /// SHA-256 of the SubjectPublicKeyInfo of a TPM's endorsement key.
    Ek([u8; 32]),
    /// TPM name of a pinned attestation key.
    PinnedAk([u8; 34]),
    /// An AMD chip; all zero if masked, or with a VLEK.
    Chip(ChipId),
}

/// What evidence showed, for records and for explaining a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claims {
    /// An SNP report.
    Snp(Box<SnpClaims>),
    /// A paravisor's report and a quote of its virtual TPM.
    SnpVtpm(Box<SnpVtpmClaims>),
    /// A TPM quote.
    Tpm(TpmClaims),
}

/// What an SNP report showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpClaims {
    /// VERSION.
    pub version: u32,
    /// MEASUREMENT.
    pub measurement: LaunchDigest,
    /// CHIP_ID; all zero if masked, or with a VLEK.
    pub chip: ChipId,
    /// Cloud provider that the VLEK names; `None` for a VCEK.
    pub provider: Option<String>,
    /// REPORTED_TCB.
    pub reported_tcb: Tcb,
    /// COMMITTED_TCB.
    pub committed_tcb: Tcb,
    /// CURRENT_TCB.
    pub current_tcb: Tcb,
    /// LAUNCH_TCB.
    pub launch_tcb: Tcb,
    /// Mitigation vectors, from version 5.
    pub mitigations: Option<Mitigations>,
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// FAMILY_ID.
    pub family_id: [u8; 16],
    /// IMAGE_ID.
    pub image_id: [u8; 16],
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// ID_KEY_DIGEST; all zero without an ID block.
    pub id_key_digest: [u8; 48],
    /// AUTHOR_KEY_DIGEST, if AUTHOR_KEY_EN says that there is one.
    pub author_key_digest: Option<[u8; 48]>,
    /// REPORT_ID.
    pub report_id: [u8; 32],
    /// REPORT_ID_MA; all ones without a migration agent.
    pub report_id_ma: [u8; 32],
    /// POLICY.
    pub policy: u64,
    /// PLATFORM_INFO.
    pub platform_info: u64,
    /// VMPL.
    pub vmpl: u32,
}

/// What a TPM quote showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmClaims {
    /// TPM name of the attestation key.
    pub ak_name: [u8; 34],
    /// The quoted PCRs, ascending.
    pub pcrs: Vec<PcrValue>,
    /// Clock and counters: a step back means that the TPM, or its state, is not the one seen before.
    pub clock: ClockInfo,
    /// Firmware version.
    pub firmware_version: u64,
}

/// Appraises an agent's evidence over `statement` by the rules of a role; any one rule suffices.
///
/// Steps, cheap ones first: 1. lengths, versions, structure of report or quote; 2. the statement, whole, and only
/// then the structure of certificates; 3. the rules, on claims
/// that are not verified yet; 4. chains and signatures; 5. for a report, revocation. TPM evidence needs proof that its very key is resident.
///
/// # Errors
/// [`AppraisalError`]; where several rules of the evidence's kind refuse it, the refusal that got furthest.
pub fn appraise(
    evidence: &Evidence,
    statement: &StatementPreimage,
    rules: &[Accept],
    residency: Residency<'_>,
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Result<Appraisal, AppraisalError> {
    let question = Question { statement, evidence };
    match evidence {
        Evidence::Snp(snp) => {
            let rules = of_kind(rules, |rule| match rule {
                Accept::Snp(accept) => Some(accept),
                Accept::SnpVtpm(_) | Accept::Tpm(_) => None,
            });
            appraise_snp(snp, &question, &rules, context, cache)
        }
        Evidence::Tpm(tpm) => {
            let rules = of_kind(rules, |rule| match rule {
                Accept::Tpm(accept) => Some(accept),
                Accept::Snp(_) | Accept::SnpVtpm(_) => None,
            });
            let Residency::Proven(resident) = residency else {
                return Err(AppraisalError::NotResident);
            };
            appraise_tpm(tpm, &question, &rules, resident, context)
        }
        Evidence::SnpVtpm(vtpm) => {
            let rules = of_kind(rules, |rule| match rule {
                Accept::SnpVtpm(accept) => Some(accept),
                Accept::Snp(_) | Accept::Tpm(_) => None,
            });
            appraise_snp_vtpm(vtpm, &question, &rules, context, cache)
        }
    }
}

/// Appraises a vault's evidence over its own statement by an agent's pin. Same verifier; the TPM's attestation
/// key is pinned by its name, so no endorsement key is asked for.
///
/// # Errors
/// [`AppraisalError`].
pub fn appraise_vault(
    evidence: &Evidence,
    statement: &StatementPreimage,
    pin: &VaultPlatformPin,
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Result<Appraisal, AppraisalError> {
    let question = Question { statement, evidence };
    match (evidence, pin) {
        (Evidence::Snp(snp), VaultPlatformPin::Snp(accept)) => {
            appraise_snp(snp, &question, &[(0, accept)], context, cache)
        }
        (Evidence::Tpm(tpm), VaultPlatformPin::Tpm(pin)) => {
            appraise_pinned_tpm(tpm, &question, pin, context.anchors.class())
        }
        (Evidence::Snp(_), VaultPlatformPin::Tpm(_))
        | (Evidence::SnpVtpm(_), _)
        | (Evidence::Tpm(_), VaultPlatformPin::Snp(_)) => Err(AppraisalError::Kind),
    }
}

/// What the evidence must be over, and what the record will call it.
pub(crate) struct Question<'a> {
    pub(crate) statement: &'a StatementPreimage,
    evidence: &'a Evidence,
}

impl Question<'_> {
    /// Computed last: junk is refused without hashing it.
    pub(crate) fn evidence_digest(&self) -> Result<[u8; 32], AppraisalError> {
        let encoded = codec::encode(self.evidence).map_err(AppraisalError::Encoding)?;
        Ok(digest::sha256(&[&encoded]))
    }
}

fn appraise_snp(
    evidence: &SnpEvidence,
    question: &Question<'_>,
    rules: &[(usize, &SnpAccept)],
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Result<Appraisal, AppraisalError> {
    let Context { anchors, collateral, now_unix_secs: now } = context;
    // Step 1.
    let read = ReadReport::read(evidence).map_err(AppraisalError::Snp)?;
    // Step 2. Before the certificates are hashed and parsed: junk is refused for the price of one SHA-512.
    if read.report().report_data != question.statement.snp_report_data() {
        return Err(AppraisalError::Statement);
    }
    let read =
        read.with_collateral(collateral).with_vek(anchors.amd(), cache).map_err(AppraisalError::Snp)?;
    // Step 3.
    let accepted =
        first_accepting(rules, |accept| snp_rules::check(read.claimed(), accept, now), |error| error.step())?;
    // Step 4. If the chip is masked, every accepting rule accepts that.
    let masked = masked_chip(&accepted.rule.chip);
    let verified = read.verify(anchors.amd(), masked, seconds(now), cache).map_err(AppraisalError::Snp)?;
    // Step 5. Rules differ in what they ask of revocation; any one suffices.
    let accepted = first_passing(
        accepted,
        rules,
        |accept| snp_rules::check(verified.claimed(), accept, now),
        |accept| {
            let checked = verified.check_revocation(accept.revocation, anchors.amd(), seconds(now), cache);
            checked.map_err(AppraisalError::Snp)
        },
    )?;
    let (report, product) = (verified.report(), verified.product());
    Ok(Appraisal {
        class: match report.signing_key {
            SigningKey::Vcek => PlatformClass::SnpVcek { product },
            SigningKey::Vlek => PlatformClass::SnpVlek { product },
        },
        anchor_class: anchors.amd().class(),
        evidence_digest: question.evidence_digest()?,
        platform_id: PlatformId::Chip(report.chip_id),
        rule: accepted.index,
        warnings: accepted.warnings,
        claims: Claims::Snp(Box::new(snp_claims(&verified))),
    })
}

/// Whether a rule accepts reports that do not show their chip.
pub(crate) fn masked_chip(rule: &ChipRule) -> Permission {
    match rule {
        ChipRule::AnyChipEvenMasked => Permission::Allowed,
        ChipRule::Allow(_) | ChipRule::AnyChip | ChipRule::Providers(_) => Permission::Forbidden,
    }
}

pub(crate) fn snp_claims(verified: &VerifiedReport<'_>) -> SnpClaims {
    let (report, product) = (verified.report(), verified.product());
    SnpClaims {
        version: report.version,
        measurement: report.measurement,
        chip: report.chip_id,
        provider: verified.provider().map(str::to_owned),
        reported_tcb: report.reported_tcb.components(product),
        committed_tcb: report.committed_tcb.components(product),
        current_tcb: report.current_tcb.components(product),
        launch_tcb: report.launch_tcb.components(product),
        mitigations: report.mitigations,
        host_data: report.host_data,
        family_id: report.family_id,
        image_id: report.image_id,
        guest_svn: report.guest_svn,
        id_key_digest: report.id_key_digest,
        author_key_digest: report.author_key_enabled.then_some(report.author_key_digest),
        report_id: report.report_id,
        report_id_ma: report.report_id_ma,
        policy: report.policy,
        platform_info: report.platform_info,
        vmpl: report.vmpl,
    }
}

fn appraise_tpm(
    evidence: &TpmEvidence,
    question: &Question<'_>,
    rules: &[(usize, &TpmAccept)],
    resident: &ResidentAk,
    context: Context<'_>,
) -> Result<Appraisal, AppraisalError> {
    // Step 1.
    if public::name(&evidence.ak_public) != *resident.ak().name() {
        return Err(AppraisalError::NotResident);
    }
    let (quote, signature) = read_quote(&evidence.quote, &evidence.signature)?;
    // Step 2.
    if quote.extra_data != question.statement.tpm_qualifying_data() {
        return Err(AppraisalError::Statement);
    }
    // Step 3. Logs cost more to read than a signature: where a rule looks at them, step 4 comes first.
    let judged = || rules.iter().map(|(_, accept)| accept.pcrs.as_slice());
    let logs_are_read = ReadLogs::are_wanted(&evidence.logs, judged());
    let verify = || verify_evidence(evidence, question.statement, &quote, &signature, resident.ak());
    if logs_are_read {
        verify()?;
    }
    let logs = ReadLogs::read(&evidence.logs, judged());
    let compared = logs.beside(&evidence.pcrs);
    let accepted = first_accepting(
        rules,
        |accept| tpm_rules::check(&quote, &evidence.pcrs, resident, accept, context.now_unix_secs, &compared),
        |error| error.step(),
    )?;
    // Step 4.
    if !logs_are_read {
        verify()?;
    }
    Ok(Appraisal {
        class: PlatformClass::Tpm { anchor: resident.anchor().clone(), kind: resident.kind() },
        anchor_class: resident.class(),
        evidence_digest: question.evidence_digest()?,
        platform_id: match resident.shown_by() {
            ShownBy::Certificate => PlatformId::Ak(*resident.spki_digest()),
            ShownBy::Credential => PlatformId::Ek(*resident.spki_digest()),
        },
        rule: accepted.index,
        warnings: accepted.warnings,
        claims: tpm_claims(evidence, &quote, resident.ak()),
    })
}

fn appraise_pinned_tpm(
    evidence: &TpmEvidence,
    question: &Question<'_>,
    pin: &TpmPin,
    anchor_class: AnchorClass,
) -> Result<Appraisal, AppraisalError> {
    // Step 1. The pinned name covers the whole public area, so it is the pinned key or none.
    let ak = parse_ak(&evidence.ak_public).map_err(AppraisalError::Ak)?;
    if pin.ak_name != ak.name() {
        return Err(AppraisalError::AkNotPinned);
    }
    let (quote, signature) = read_quote(&evidence.quote, &evidence.signature)?;
    // Step 2.
    if quote.extra_data != question.statement.tpm_qualifying_data() {
        return Err(AppraisalError::Statement);
    }
    // Step 3.
    tpm_rules::check_exactly(&quote, &evidence.pcrs, &pin.pcrs).map_err(AppraisalError::TpmRule)?;
    // Step 4.
    verify_evidence(evidence, question.statement, &quote, &signature, &ak)?;
    Ok(Appraisal {
        class: PlatformClass::TpmPinned,
        anchor_class,
        evidence_digest: question.evidence_digest()?,
        platform_id: PlatformId::PinnedAk(*ak.name()),
        rule: 0,
        warnings: Vec::new(),
        claims: tpm_claims(evidence, &quote, &ak),
    })
}

pub(crate) fn read_quote(quote: &[u8], signature: &[u8]) -> Result<(Quote, QuoteSignature), AppraisalError> {
    let quote = Quote::parse(quote).map_err(QuoteError::Attest).map_err(AppraisalError::Quote)?;
    let signature =
        QuoteSignature::parse(signature).map_err(QuoteError::Signature).map_err(AppraisalError::Quote)?;
    Ok((quote, signature))
}

fn verify_evidence(
    evidence: &TpmEvidence,
    statement: &StatementPreimage,
    quote: &Quote,
    signature: &QuoteSignature,
    ak: &AttestationKey,
) -> Result<(), AppraisalError> {
    let values = pcr_values(&evidence.pcrs);
    let expected = Expected {
        key: ak.key(),
        scheme: Some(ak.scheme()),
        extra_data: &statement.tpm_qualifying_data(),
        sha1: Permission::Forbidden,
    };
    verify_quote(&evidence.quote, quote, signature, &values, expected).map_err(AppraisalError::Quote)
}

/// Values of the SHA-256 bank.
pub(crate) fn pcr_values(pcrs: &[PcrValue]) -> PcrValues {
    pcrs.iter().map(|pcr| ((HashAlgorithm::Sha256, pcr.index), pcr.value.to_vec())).collect()
}

fn tpm_claims(evidence: &TpmEvidence, quote: &Quote, ak: &AttestationKey) -> Claims {
    Claims::Tpm(TpmClaims {
        ak_name: *ak.name(),
        pcrs: evidence.pcrs.clone(),
        clock: quote.clock,
        firmware_version: quote.firmware_version,
    })
}

pub(crate) fn seconds(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX)
}
