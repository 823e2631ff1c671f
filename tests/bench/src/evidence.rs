//! Evidence: what one core verifies, and what it costs to refuse junk.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, StatementPreimage, TrustAnchors, appraise,
    statement,
};
use vouchsafe_crypto::random;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence, SnpVtpmEvidence, TpmEvidence};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::policy::{Accept, EventRules, ImaRule, Role, SnpVtpmAccept, UserDataRule};
use vouchsafe_simulation::SimulatedChip;

use crate::clock::{cpu, paired, quantile};
use crate::report::{Measured, Row, Unit};
use crate::tpm::{BootLog, EVENTS, Tpm};

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
    let mut rows = vec![
        snp_verified(snp, budget)?,
        tpm_verified(budget, None)?,
        tpm_verified(budget, Some(&BootLog::new()?))?,
    ];
    #[cfg(feature = "aws-lc")]
    rows.push(other_p384(budget)?);
    rows.extend(junk(snp, budget)?);
    Ok(rows)
}

fn snp_verified(snp: &Snp, budget: Duration) -> anyhow::Result<Row> {
    let anchors = TrustAnchors::new(&snp.anchors)?;
    let statement = any_statement(1)?;
    let evidence = Evidence::Snp(snp.evidence(&statement)?);
    let (mut cache, collateral) = (ChainCache::new(), Collateral::new());
    let accept: &[Accept] = &snp.role.accept;
    let bare = BareP384::new()?;
    let paired = paired(
        budget,
        || {
            let context = Context { anchors: &anchors, collateral: &collateral, now_unix_secs: NOW };
            appraise(&evidence, &statement, accept, Residency::NotATpm, context, &mut cache)?;
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

fn tpm_verified(budget: Duration, log: Option<&BootLog>) -> anyhow::Result<Row> {
    let statement = any_statement(1)?;
    let tpm = Tpm::new()?;
    let anchors = TrustAnchors::new(&tpm.anchors()?)?;
    let resident = tpm.resident(&anchors)?;
    let evidence = Evidence::Tpm(tpm.evidence(&statement, log)?);
    let accept = [tpm.accept(log)?];
    let (mut cache, collateral) = (ChainCache::new(), Collateral::new());
    let bare = tpm.bare()?;
    let paired = paired(
        budget,
        || {
            let residency = Residency::Proven(&resident);
            let context = Context { anchors: &anchors, collateral: &collateral, now_unix_secs: NOW };
            appraise(&evidence, &statement, &accept, residency, context, &mut cache)?;
            Ok(())
        },
        bare,
    )?;
    let measured = Measured::bare(1.0 / paired.figure_secs);
    let primitive = Measured::bare(1.0 / paired.primitive_secs);
    let met = measured.value >= 5000.0;
    let figure = match log {
        Some(_) => {
            format!("TPM quote with a log of {EVENTS} events verified, P-256 key, PCRs 0 to 7, one core")
        }
        None => "TPM quote verified, P-256 key, two PCRs, one core".to_owned(),
    };
    let row = Row::new(&figure, Unit::PerSecond, measured)
        .beside("ECDSA P-256 verified", primitive, Some(paired.ratio))
        .goal("at least 5,000/s", met);
    Ok(match log {
        Some(_) => row.note(
            "the log is parsed, replayed in the SHA-256 bank, and every event is looked up in the rule",
        ),
        None => row,
    })
}

/// Evidence that is refused, and where.
struct Junk<'a> {
    figure: &'a str,
    evidence: Evidence,
    rules: &'a [Accept],
    residency: Residency<'a>,
    early: Early,
}

/// Evidence of random bytes, and right evidence over another statement, of every kind: refused before any signature.
fn junk(snp: &Snp, budget: Duration) -> anyhow::Result<Vec<Row>> {
    let (statement, other) = (any_statement(1)?, any_statement(2)?);
    let report = snp.evidence(&other)?;
    let tpm = Tpm::new()?;
    let tpm_anchors = TrustAnchors::new(&tpm.anchors()?)?;
    let resident = tpm.resident(&tpm_anchors)?;
    let residency = Residency::Proven(&resident);
    let log = BootLog::new()?;
    let quoted = tpm.evidence(&other, Some(&log))?;
    let accept = [tpm.accept(Some(&log))?];
    let paravisor = paravisor(&report, &quoted)?;
    let paravisor_accept = paravisor_accept(snp)?;

    let noise = noise(report.report.len())?;
    let random = SnpEvidence { report: noise.clone(), ..report.clone() };
    let random_quote = TpmEvidence { quote: noise.clone(), ..quoted.clone() };
    let random_hcl = SnpVtpmEvidence { hcl_report: noise, ..paravisor.clone() };
    let is_unread: Early = |error| matches!(error, AppraisalError::Snp(SnpError::Report(_)));
    let is_no_quote: Early = |error| matches!(error, AppraisalError::Quote(QuoteError::Attest(_)));
    let is_no_hcl: Early = |error| matches!(error, AppraisalError::Hcl(_));
    let is_other: Early = |error| matches!(error, AppraisalError::Statement);
    let (of_snp, of_paravisor) = (snp.role.accept.as_slice(), paravisor_accept.as_slice());
    let (of_tpm, none) = (accept.as_slice(), Residency::NotATpm);
    let kinds = [
        ("random bytes as long as a report", Evidence::Snp(random), of_snp, none, is_unread),
        ("a right report over another statement", Evidence::Snp(report), of_snp, none, is_other),
        ("random bytes for a quote, with a log", Evidence::Tpm(random_quote), of_tpm, residency, is_no_quote),
        (
            "a right quote with its log over another statement",
            Evidence::Tpm(quoted),
            of_tpm,
            residency,
            is_other,
        ),
        (
            "random bytes for an HCL report",
            Evidence::SnpVtpm(Box::new(random_hcl)),
            of_paravisor,
            none,
            is_no_hcl,
        ),
        (
            "a right HCL report and quote over another statement",
            Evidence::SnpVtpm(Box::new(paravisor)),
            of_paravisor,
            none,
            is_other,
        ),
    ];
    let anchors = TrustAnchors::new(&snp.anchors)?;
    kinds
        .into_iter()
        .map(|(figure, evidence, rules, residency, early)| {
            refused(&Junk { figure, evidence, rules, residency, early }, &statement, &anchors, budget)
        })
        .collect()
}

fn refused(
    junk: &Junk<'_>,
    statement: &StatementPreimage,
    anchors: &TrustAnchors,
    budget: Duration,
) -> anyhow::Result<Row> {
    let Junk { figure, evidence, rules, residency, early } = junk;
    let bare = BareP384::new()?;
    // A cache that never saw the chain: whoever sends junk did not pass before.
    let (mut cache, collateral) = (ChainCache::new(), Collateral::new());
    let mut refuse = || {
        let context = Context { anchors, collateral: &collateral, now_unix_secs: NOW };
        let refused = appraise(evidence, statement, rules, *residency, context, &mut cache);
        let error = refused.err().context("junk was accepted")?;
        ensure!(early(&error), "refused too late: {error}");
        Ok(())
    };
    let paired = paired(budget / 4, &mut refuse, || bare.verify())?;
    let p99 = grouped_p99(&mut refuse)?;
    Ok(Row::new(format!("junk refused: {figure}"), Unit::Seconds, Measured::bare(paired.figure_secs))
        .beside("ECDSA P-384 verified", Measured::bare(paired.primitive_secs), Some(paired.ratio))
        .goal("at most 20 µs", p99 <= 20e-6)
        .note(format!("p99 {:.1} µs, over groups of {GROUP}; this is what decides", p99 * 1e6)))
}

/// What a paravisor would send: its report in an HCL report with claims of the usual length, and a quote.
fn paravisor(report: &SnpEvidence, quoted: &TpmEvidence) -> anyhow::Result<SnpVtpmEvidence> {
    let claims = format!("{{\"keys\":[],\"user-data\":\"{}\"}}", "0".repeat(1200));
    let hcl_report = vouchsafe_simulation::hcl::HclBuilder::new(&report.report, claims.as_bytes()).encode();
    let TpmEvidence { quote, signature, ak_public: _, pcrs, logs } = quoted.clone();
    Ok(SnpVtpmEvidence {
        hcl_report,
        endorsements: report.endorsements.clone(),
        quote,
        signature,
        pcrs,
        logs,
    })
}

fn paravisor_accept(snp: &Snp) -> anyhow::Result<Vec<Accept>> {
    let rule = snp.role.accept.iter().find_map(|rule| match rule {
        Accept::Snp(rule) => Some(rule.clone()),
        _ => None,
    });
    let snp = rule.context("no rule for reports")?;
    let (events, ima, user_data) = (EventRules::NONE, ImaRule::NotRequired, UserDataRule::NotRequired);
    Ok(vec![Accept::SnpVtpm(SnpVtpmAccept { snp, pcrs: Vec::new(), events, ima, user_data })])
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

fn noise(len: usize) -> anyhow::Result<Vec<u8>> {
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
