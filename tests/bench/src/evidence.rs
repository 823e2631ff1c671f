//! Evidence: what one core verifies, and what it costs to refuse junk.

use std::time::Duration;

use anyhow::{Context, ensure};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Residency, StatementPreimage, TrustAnchors, appraise, statement,
};
use vouchsafe_crypto::random;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::policy::{Accept, Role};
use vouchsafe_simulation::SimulatedChip;

use crate::clock::{cpu, paired, quantile};
use crate::report::{Measured, Row, Unit};
use crate::tpm::Tpm;

/// When evidence is appraised, in seconds since 1970: 2026-11-23.
pub const NOW: u64 = 1_795_392_000;
/// Length of the signed part of a report in bytes (AMD 56860, table 23).
const SIGNED_LEN: usize = 0x2A0;
/// Calls that are timed together when one is too short for the clock.
const GROUP: u32 = 64;

/// Whether a refusal came before any signature was looked at.
type Early = fn(&AppraisalError) -> bool;

/// A chip, its roots and a rule that accepts it.
pub struct Snp {
    pub chip: SimulatedChip,
    pub anchors: Anchors,
    pub role: Role,
}

impl Snp {
    /// Makes a fleet of one.
    pub fn new(chip: SimulatedChip) -> anyhow::Result<Self> {
        let anchors = Anchors { amd: AmdAnchors::Simulated(vec![chip.root()]), tpm: Vec::new() };
        let policy = vouchsafe_tests::stack::sim_role("bench", "kv/bench/*");
        let role = vouchsafe_client::policy::compile(&[("bench.toml", &policy)])?.pop().context("no role")?;
        Ok(Self { chip, anchors, role })
    }

    /// Right evidence over a statement.
    pub fn evidence(&self, statement: &StatementPreimage) -> anyhow::Result<SnpEvidence> {
        let image = vouchsafe_platform::sim::measurement(vouchsafe_platform::sim::DEFAULT_IMAGE);
        Ok(self.chip.attest(image, &statement.snp_report_data())?)
    }
}

/// All figures of evidence.
pub fn measure(snp: &Snp, budget: Duration) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![snp_verified(snp, budget)?, tpm_verified(budget)?];
    #[cfg(feature = "aws-lc")]
    rows.push(other_p384(budget)?);
    rows.extend(junk(snp, budget)?);
    Ok(rows)
}

fn snp_verified(snp: &Snp, budget: Duration) -> anyhow::Result<Row> {
    let anchors = TrustAnchors::new(&snp.anchors)?;
    let statement = any_statement(1)?;
    let evidence = Evidence::Snp(snp.evidence(&statement)?);
    let mut cache = ChainCache::new();
    let accept: &[Accept] = &snp.role.accept;
    let bare = BareP384::new()?;
    let paired = paired(
        budget,
        || {
            appraise(&evidence, &statement, accept, &anchors, Residency::NotATpm, NOW, &mut cache)?;
            Ok(())
        },
        || bare.verify(),
    )?;
    let measured = Measured::bare(1.0 / paired.figure_secs);
    let primitive = Measured::bare(1.0 / paired.primitive_secs);
    Ok(Row::new("SNP evidence verified, chain cached, one core", Unit::PerSecond, measured)
        .beside("ECDSA P-384 verified", primitive, Some(paired.ratio))
        .goal("at least 0.80", paired.ratio >= 0.8))
}

/// The other implementation of the signature that decides the row above.
#[cfg(feature = "aws-lc")]
fn other_p384(budget: Duration) -> anyhow::Result<Row> {
    let bare = BareP384::new()?;
    let paired = paired(budget, || bare.verify_aws_lc(), || bare.verify_ring())?;
    let measured = Measured::bare(1.0 / paired.figure_secs);
    let primitive = Measured::bare(1.0 / paired.primitive_secs);
    Ok(Row::new("ECDSA P-384 verified by aws-lc-rs", Unit::PerSecond, measured).beside(
        "ECDSA P-384 verified by ring",
        primitive,
        Some(paired.ratio),
    ))
}

fn tpm_verified(budget: Duration) -> anyhow::Result<Row> {
    let statement = any_statement(1)?;
    let tpm = Tpm::new()?;
    let anchors = TrustAnchors::new(&tpm.anchors()?)?;
    let resident = tpm.resident(&anchors)?;
    let evidence = Evidence::Tpm(tpm.evidence(&statement)?);
    let accept = [tpm.accept()?];
    let mut cache = ChainCache::new();
    let bare = tpm.bare()?;
    let paired = paired(
        budget,
        || {
            let residency = Residency::Proven(&resident);
            appraise(&evidence, &statement, &accept, &anchors, residency, NOW, &mut cache)?;
            Ok(())
        },
        bare,
    )?;
    let measured = Measured::bare(1.0 / paired.figure_secs);
    let primitive = Measured::bare(1.0 / paired.primitive_secs);
    let met = measured.value >= 5000.0;
    Ok(Row::new("TPM quote verified, P-256 key, two PCRs, one core", Unit::PerSecond, measured)
        .beside("ECDSA P-256 verified", primitive, Some(paired.ratio))
        .goal("at least 5,000/s", met)
        .note("the goal is for a quote with an event log of 60 events; event logs are not verified in this version"))
}

/// A report of random bytes, and a right one over another statement: both refused before any signature.
fn junk(snp: &Snp, budget: Duration) -> anyhow::Result<[Row; 2]> {
    let anchors = TrustAnchors::new(&snp.anchors)?;
    let (statement, other) = (any_statement(1)?, any_statement(2)?);
    let right = snp.evidence(&other)?;
    let noise = random_report(right.report.len())?;
    let random = Evidence::Snp(SnpEvidence { report: noise, ..right.clone() });
    let wrong = Evidence::Snp(right);
    let bare = BareP384::new()?;
    let refused = |figure: &str, evidence: &Evidence, early: Early| -> anyhow::Result<Row> {
        // A cache that never saw the chain: whoever sends junk did not pass before.
        let mut cache = ChainCache::new();
        let mut refuse = || {
            let rules: &[Accept] = &snp.role.accept;
            let refused =
                appraise(evidence, &statement, rules, &anchors, Residency::NotATpm, NOW, &mut cache);
            let error = refused.err().context("junk was accepted")?;
            ensure!(early(&error), "refused too late: {error}");
            Ok(())
        };
        let paired = paired(budget / 4, &mut refuse, || bare.verify())?;
        let p99 = grouped_p99(&mut refuse)?;
        Ok(Row::new(figure, Unit::Seconds, Measured::bare(paired.figure_secs))
            .beside("ECDSA P-384 verified", Measured::bare(paired.primitive_secs), Some(paired.ratio))
            .goal("at most 20 µs", p99 <= 20e-6)
            .note(format!("p99 {:.1} µs, over groups of {GROUP}; this is what decides", p99 * 1e6)))
    };
    Ok([
        refused("junk refused: random bytes as long as a report", &random, |error| {
            matches!(error, AppraisalError::Snp(SnpError::Report(_)))
        })?,
        refused("junk refused: a right report over another statement", &wrong, |error| {
            matches!(error, AppraisalError::Statement)
        })?,
    ])
}

fn grouped_p99(refuse: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut secs = Vec::new();
    for _ in 0..500 {
        let started = cpu();
        for _ in 0..GROUP {
            refuse()?;
        }
        secs.push((cpu() - started).as_secs_f64() / f64::from(GROUP));
    }
    quantile(&mut secs, 0.99)
}

fn random_report(len: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        bytes.extend(random::array::<32>()?);
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn any_statement(challenge: u8) -> anyhow::Result<StatementPreimage> {
    let vault: VaultId = VaultId { class: vouchsafe_protocol::id::AnchorClass::Simulated, digest: [7; 32] };
    Ok(statement::introduction(&[challenge; 100], &[1; 32], &[2; 91], &"bench".parse()?, &vault))
}

/// A signature like that of a report.
pub struct BareP384 {
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl BareP384 {
    pub fn new() -> anyhow::Result<Self> {
        let rng = SystemRandom::new();
        let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).map_err(|_| anyhow::anyhow!("no key"))?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng)?;
        let message = vec![0x5a; SIGNED_LEN];
        let signature = key.sign(&rng, &message).map_err(|_| anyhow::anyhow!("no signature"))?;
        Ok(Self { key: key.public_key().as_ref().to_vec(), message, signature: signature.as_ref().to_vec() })
    }

    /// By the implementation that this build uses for reports.
    #[cfg(not(feature = "aws-lc-reports"))]
    pub fn verify(&self) -> anyhow::Result<()> {
        self.verify_ring()
    }

    /// By the implementation that this build uses for reports.
    #[cfg(feature = "aws-lc-reports")]
    pub fn verify(&self) -> anyhow::Result<()> {
        self.verify_aws_lc()
    }

    #[cfg(feature = "aws-lc")]
    fn verify_aws_lc(&self) -> anyhow::Result<()> {
        use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.key)
            .verify(&self.message, &self.signature)
            .map_err(|_| anyhow::anyhow!("a right signature does not verify"))
    }

    fn verify_ring(&self) -> anyhow::Result<()> {
        signature::UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, &self.key)
            .verify(&self.message, &self.signature)
            .map_err(|_| anyhow::anyhow!("a right signature does not verify"))
    }
}
