//! What each rule of a role says of stored evidence, and why: for dry runs, never for a decision.
//!
//! Called by operators' tools with evidence that was collected earlier, or that a vault has seen. The checks are those
//! of [`crate::appraise`], rule by rule. What stored evidence cannot show any more is not pretended: each rule lists
//! what was not tried of it. Not an [`crate::Appraisal`], and no way to one: nothing here is fresh.

use vouchsafe_protocol::evidence::{
    AkProof, Evidence, Logs, PcrValue, SnpEvidence, SnpVtpmEvidence, TpmEvidence, TpmKeys,
};
use vouchsafe_protocol::policy::{
    Accept, Permission, Product, RevocationRule, SnpAccept, SnpVtpmAccept, TpmAccept, UserDataRule,
};
use vouchsafe_protocol::seen::{AkShownBy, SeenFacts, SeenQuote, SeenReport, SeenTpm, SeenVtpm};

use crate::appraisal::{Context, pcr_values, read_quote, seconds};
use crate::azure::{HclReport, VtpmQuote, verify_snp_vtpm};
use crate::cache::ChainCache;
use crate::error::AppraisalError;
use crate::snp::report::Report;
use crate::snp::rules::{Claimed, Warning};
use crate::snp::verify::{ReadReport, SnpError, VerifiedReport};
use crate::tpm::ak::parse_ak;
use crate::tpm::ak_certificate::{AkCertError, verify_ak_certificate};
use crate::tpm::attest::Quote;
use crate::tpm::ek::{EkError, verify_ek};
use crate::tpm::logs::ReadLogs;
use crate::tpm::quote::{Expected, QuoteError, verify_quote};
use crate::tpm::residency::ShownBy;
use crate::tpm::rules::{self as tpm_rules, PcrRules, Shown};

mod relax;

/// What was found out about stored evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the evidence is genuine: what every rule needs.
    pub genuine: Result<(), NotGenuine>,
    /// What each rule says, in their order.
    pub rules: Vec<Explained>,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Index of the rule in its role.
    pub index: usize,
    /// Its verdict.
    pub outcome: Outcome,
    /// What it asks for and stored evidence cannot show.
    pub untried: Vec<Untried>,
}

/// The verdict of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It accepts, with these warnings, if what was not tried holds.
    Accepts(Vec<Warning>),
    /// It is for another kind of evidence.
    OtherKind,
    /// It refuses. Everything that it does not accept, never empty; the first is what a vault would name.
    Refuses(Vec<AppraisalError>),
}

/// What a rule asks for and stored evidence cannot show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Untried {
    /// That the TPM opens a credential made for its keys.
    Credential,
    /// That the paravisor's report itself is fresh.
    Freshness,
    /// Logs, which were too long to be kept.
    Logs,
    /// That nothing of the chain is revoked.
    Revocation,
}

/// Why stored evidence is not genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// The attestation key's certificate.
    #[error("certificate of the attestation key is refused")]
    AkCertificate(#[source] AkCertError),
    /// The endorsement key.
    #[error("endorsement key is refused")]
    Ek(#[source] EkError),
    /// The evidence itself.
    #[error("evidence is not genuine")]
    Evidence(#[source] AppraisalError),
}

impl NotGenuine {
    /// The stable code of the rule that it broke.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AkCertificate(error) => error.code(),
            Self::Ek(error) => error.code(),
            Self::Evidence(error) => error.code(),
        }
    }
}

impl Explanation {
    /// The first rule that accepts, if the evidence is genuine.
    #[must_use]
    pub fn accepted_by(&self) -> Option<&Explained> {
        self.genuine.ok()?;
        accepted_by(&self.rules)
    }
}

/// The first rule that accepts.
#[must_use]
pub fn accepted_by(rules: &[Explained]) -> Option<&Explained> {
    rules.iter().find(|rule| matches!(rule.outcome, Outcome::Accepts(_)))
}

/// What a vault would name if no rule accepts: the first refusal of the rule that got furthest.
#[must_use]
pub fn refusal(rules: &[Explained]) -> AppraisalError {
    let mut furthest: Option<AppraisalError> = None;
    for rule in rules {
        if let Outcome::Refuses(refusals) = &rule.outcome
            && let Some(first) = refusals.first()
            && furthest.is_none_or(|kept| progress(first) > progress(&kept))
        {
            furthest = Some(*first);
        }
    }
    furthest.unwrap_or(AppraisalError::Kind)
}

/// How far a rule got: over the report, over the quote, and then what is checked after the rules.
fn progress(error: &AppraisalError) -> (u8, u8) {
    match error {
        AppraisalError::SnpRule(error) => (1, error.step()),
        AppraisalError::TpmRule(error) => (2, error.step()),
        AppraisalError::Snp(_) | AppraisalError::UserData => (3, 0),
        _ => (0, 0),
    }
}

/// Tries rules on stored evidence, whatever statement it is over. `keys` are what a TPM showed of its keys; an
/// endorsement key's credential is taken to have been opened, which [`Untried::Credential`] says.
#[must_use]
pub fn explain(
    evidence: &Evidence,
    keys: Option<&TpmKeys>,
    rules: &[Accept],
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Explanation {
    let result = match evidence {
        Evidence::Snp(snp) => explain_snp(snp, rules, context, cache),
        Evidence::SnpVtpm(vtpm) => explain_snp_vtpm(vtpm, rules, context, cache),
        Evidence::Tpm(tpm) => explain_tpm(tpm, keys, rules, context),
    };
    // What cannot even be read satisfies no rule.
    result.unwrap_or_else(|error| Explanation {
        genuine: Err(error),
        rules: rules.iter().enumerate().map(|(index, rule)| unread(index, rule, evidence, error)).collect(),
    })
}

fn unread(index: usize, rule: &Accept, evidence: &Evidence, error: NotGenuine) -> Explained {
    let of_kind = matches!(
        (rule, evidence),
        (Accept::Snp(_), Evidence::Snp(_))
            | (Accept::SnpVtpm(_), Evidence::SnpVtpm(_))
            | (Accept::Tpm(_), Evidence::Tpm(_))
    );
    let refusal = match error {
        NotGenuine::AkCertificate(_) | NotGenuine::Ek(_) => AppraisalError::NotResident,
        NotGenuine::Evidence(error) => error,
    };
    let outcome = if of_kind { Outcome::Refuses(vec![refusal]) } else { Outcome::OtherKind };
    Explained { index, outcome, untried: Vec::new() }
}

/// Tries rules on what a vault kept of evidence that it had verified, at `now` in seconds since 1970.
///
/// # Errors
/// [`AppraisalError`] if the record cannot be read.
pub fn explain_seen(
    facts: &SeenFacts,
    rules: &[Accept],
    now_unix_secs: u64,
) -> Result<Vec<Explained>, AppraisalError> {
    let parsed = |seen: &SeenReport| {
        Report::parse(&seen.report).map_err(SnpError::Report).map_err(AppraisalError::Snp)
    };
    let quoted = |seen: &SeenQuote| {
        Quote::parse(&seen.attest).map_err(QuoteError::Attest).map_err(AppraisalError::Quote)
    };
    let now = now_unix_secs;
    match facts {
        SeenFacts::Snp(seen) => {
            let report = parsed(seen)?;
            Ok(each(rules, |rule| match rule {
                Accept::Snp(accept) => Some(snp_rule(claimed(&report, seen), accept, now, None)),
                Accept::SnpVtpm(_) | Accept::Tpm(_) => None,
            }))
        }
        SeenFacts::SnpVtpm(vtpm) => {
            let SeenVtpm { snp, hcl_report: _, quote, user_data_is_statement } = &**vtpm;
            let (report, read) = (parsed(snp)?, quoted(quote)?);
            let fresh = if *user_data_is_statement { Fresh::Yes } else { Fresh::No };
            let pcrs =
                Pcrs { quote: &read, sent: &quote.pcrs, logs: &quote.logs, dropped: quote.logs_dropped };
            Ok(each(rules, |rule| match rule {
                Accept::SnpVtpm(accept) => {
                    Some(vtpm_rule(claimed(&report, snp), pcrs, accept, now, fresh, None))
                }
                Accept::Snp(_) | Accept::Tpm(_) => None,
            }))
        }
        SeenFacts::Tpm(tpm) => {
            let SeenTpm { quote, ak_public: _, shown_by, spki_digest, anchor, kind } = &**tpm;
            let read = quoted(quote)?;
            let shown_by = match shown_by {
                AkShownBy::Certificate => ShownBy::Certificate,
                AkShownBy::Credential => ShownBy::Credential,
            };
            let shown = Shown { anchor, kind: *kind, shown_by, spki_digest };
            let pcrs =
                Pcrs { quote: &read, sent: &quote.pcrs, logs: &quote.logs, dropped: quote.logs_dropped };
            Ok(each(rules, |rule| match rule {
                Accept::Tpm(accept) => Some(tpm_rule(pcrs, shown, accept, now, Vec::new())),
                Accept::Snp(_) | Accept::SnpVtpm(_) => None,
            }))
        }
    }
}

fn claimed<'a>(report: &'a Report, seen: &'a SeenReport) -> Claimed<'a> {
    Claimed { report, product: seen.product, provider: seen.provider.as_ref().map(|name| name.0.as_str()) }
}

fn each(
    rules: &[Accept],
    mut judge: impl FnMut(&Accept) -> Option<(Outcome, Vec<Untried>)>,
) -> Vec<Explained> {
    let judged = |(index, rule)| {
        let (outcome, untried) = judge(rule).unwrap_or((Outcome::OtherKind, Vec::new()));
        Explained { index, outcome, untried }
    };
    rules.iter().enumerate().map(judged).collect()
}

/// A quote with what came beside it.
#[derive(Clone, Copy)]
struct Pcrs<'a> {
    quote: &'a Quote,
    sent: &'a [PcrValue],
    logs: &'a Logs,
    /// A log was there and is not any more.
    dropped: bool,
}

/// Whether a paravisor's report was made for the statement.
#[derive(Clone, Copy)]
enum Fresh {
    No,
    Unknown,
    Yes,
}

/// How revocation can be checked: with a verified chain, or not at all.
type Revocation<'a> = Option<&'a mut dyn FnMut(&SnpAccept) -> Result<(), AppraisalError>>;

fn snp_rule(
    claimed: Claimed<'_>,
    accept: &SnpAccept,
    now: u64,
    revocation: Revocation<'_>,
) -> (Outcome, Vec<Untried>) {
    let (warnings, refusals) = relax::snp(claimed, accept, now);
    let refusals: Vec<AppraisalError> = refusals.into_iter().map(AppraisalError::SnpRule).collect();
    with_revocation(accept, warnings, refusals, revocation)
}

fn with_revocation(
    accept: &SnpAccept,
    warnings: Vec<Warning>,
    mut refusals: Vec<AppraisalError>,
    revocation: Revocation<'_>,
) -> (Outcome, Vec<Untried>) {
    let mut untried = Vec::new();
    match revocation {
        Some(check) => refusals.extend(check(accept).err()),
        None if accept.revocation != RevocationRule::Unchecked => {
            untried.push(Untried::Revocation);
        }
        None => {}
    }
    (verdict(warnings, refusals), untried)
}

fn verdict(warnings: Vec<Warning>, refusals: Vec<AppraisalError>) -> Outcome {
    if refusals.is_empty() { Outcome::Accepts(warnings) } else { Outcome::Refuses(refusals) }
}

fn vtpm_rule(
    claimed: Claimed<'_>,
    pcrs: Pcrs<'_>,
    accept: &SnpVtpmAccept,
    now: u64,
    fresh: Fresh,
    revocation: Revocation<'_>,
) -> (Outcome, Vec<Untried>) {
    let SnpVtpmAccept { snp, pcrs: rules, events, ima, user_data } = accept;
    let (mut warnings, refusals) = relax::snp(claimed, snp, now);
    let mut refusals: Vec<AppraisalError> = refusals.into_iter().map(AppraisalError::SnpRule).collect();
    let logs = ReadLogs::read(pcrs.logs, std::iter::once(rules.as_slice()));
    let logs = logs.beside(pcrs.sent);
    let rules = PcrRules { pcrs: rules, events, ima };
    let (more, refused) = relax::pcrs(pcrs.quote, pcrs.sent, rules, now, &logs);
    warnings.extend(more);
    warnings.dedup();
    let (refused, mut untried) = without_dropped(pcrs, refused);
    refusals.extend(refused.into_iter().map(AppraisalError::TpmRule));
    match (user_data, fresh) {
        (UserDataRule::Required, Fresh::No) => refusals.push(AppraisalError::UserData),
        (UserDataRule::Required, Fresh::Unknown) => untried.push(Untried::Freshness),
        (UserDataRule::Required, Fresh::Yes) | (UserDataRule::NotRequired, _) => {}
    }
    let (outcome, more) = with_revocation(snp, warnings, refusals, revocation);
    untried.extend(more);
    (outcome, untried)
}

fn tpm_rule(
    pcrs: Pcrs<'_>,
    shown: Shown<'_>,
    accept: &TpmAccept,
    now: u64,
    mut untried: Vec<Untried>,
) -> (Outcome, Vec<Untried>) {
    let logs = ReadLogs::read(pcrs.logs, std::iter::once(accept.pcrs.as_slice()));
    let logs = logs.beside(pcrs.sent);
    let (warnings, refused) = relax::tpm(pcrs.quote, pcrs.sent, shown, accept, now, &logs);
    let (refused, more) = without_dropped(pcrs, refused);
    untried.extend(more);
    (verdict(warnings, refused.into_iter().map(AppraisalError::TpmRule).collect()), untried)
}

/// A missing log that was there once refuses nothing.
fn without_dropped(
    pcrs: Pcrs<'_>,
    mut refused: Vec<tpm_rules::TpmRuleError>,
) -> (Vec<tpm_rules::TpmRuleError>, Vec<Untried>) {
    let count = refused.len();
    if pcrs.dropped {
        refused.retain(|error| !matches!(error, tpm_rules::TpmRuleError::NoLog { .. }));
    }
    let untried = if refused.len() < count { vec![Untried::Logs] } else { Vec::new() };
    (refused, untried)
}

fn explain_snp(
    evidence: &SnpEvidence,
    rules: &[Accept],
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Result<Explanation, NotGenuine> {
    let read = ReadReport::read(evidence).map_err(refused)?;
    let checked = ReportCheck::of(read, context, cache).map_err(NotGenuine::Evidence)?;
    let now = context.now_unix_secs;
    let rules = each(rules, |rule| match rule {
        Accept::Snp(accept) => Some(
            checked.with(context, cache, |claimed, revocation| snp_rule(claimed, accept, now, revocation)),
        ),
        Accept::SnpVtpm(_) | Accept::Tpm(_) => None,
    });
    Ok(Explanation { genuine: checked.genuine().map_err(NotGenuine::Evidence), rules })
}

fn explain_snp_vtpm(
    evidence: &SnpVtpmEvidence,
    rules: &[Accept],
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Result<Explanation, NotGenuine> {
    let SnpVtpmEvidence { hcl_report, endorsements, quote: bytes, signature, pcrs, logs } = evidence;
    let hcl = HclReport::parse(hcl_report).map_err(AppraisalError::Hcl).map_err(NotGenuine::Evidence)?;
    let read = ReadReport::parse(hcl.snp_report(), endorsements).map_err(refused)?;
    let (quote, signature) = read_quote(bytes, signature).map_err(NotGenuine::Evidence)?;
    let checked = ReportCheck::of(read, context, cache).map_err(NotGenuine::Evidence)?;
    let genuine = checked.genuine().and_then(|()| {
        let Some(verified) = checked.verified() else { return Ok(()) };
        let values = pcr_values(pcrs);
        // Whatever it was made for: `Untried::Freshness` says so.
        let extra_data = &quote.extra_data;
        let own = VtpmQuote { bytes, quote: &quote, signature: &signature, values: &values, extra_data };
        Ok(verify_snp_vtpm(&hcl, verified, own).map(drop)?)
    });
    let now = context.now_unix_secs;
    let beside = Pcrs { quote: &quote, sent: pcrs, logs, dropped: false };
    let rules = each(rules, |rule| match rule {
        Accept::SnpVtpm(accept) => Some(checked.with(context, cache, |claimed, revocation| {
            vtpm_rule(claimed, beside, accept, now, Fresh::Unknown, revocation)
        })),
        Accept::Snp(_) | Accept::Tpm(_) => None,
    });
    Ok(Explanation { genuine: genuine.map_err(NotGenuine::Evidence), rules })
}

fn explain_tpm(
    evidence: &TpmEvidence,
    keys: Option<&TpmKeys>,
    rules: &[Accept],
    context: Context<'_>,
) -> Result<Explanation, NotGenuine> {
    let TpmEvidence { quote: bytes, signature, ak_public, pcrs, logs } = evidence;
    let (quote, signature) = read_quote(bytes, signature).map_err(NotGenuine::Evidence)?;
    let now = context.now_unix_secs;
    let keys = keys
        .filter(|keys| keys.ak_public == *ak_public)
        .ok_or(NotGenuine::Evidence(AppraisalError::NotResident))?;
    let beside = Pcrs { quote: &quote, sent: pcrs, logs, dropped: false };
    let judge = |shown: Shown<'_>, untried: &[Untried]| {
        each(rules, |rule| match rule {
            Accept::Tpm(accept) => Some(tpm_rule(beside, shown, accept, now, untried.to_vec())),
            Accept::Snp(_) | Accept::SnpVtpm(_) => None,
        })
    };
    let keys = context.collateral.complete(keys);
    let rules = match &keys.proof {
        AkProof::Certificate { ak_chain } => {
            let resident = verify_ak_certificate(ak_public, ak_chain, context.anchors, now)
                .map_err(NotGenuine::AkCertificate)?;
            judge(Shown::by(&resident), &[])
        }
        AkProof::Credential { .. } => {
            let ek = verify_ek(&keys, context.anchors, now).map_err(NotGenuine::Ek)?;
            let (anchor, spki_digest) = (ek.anchor(), ek.spki_digest());
            let shown = Shown { anchor, kind: ek.kind(), shown_by: ShownBy::Credential, spki_digest };
            judge(shown, &[Untried::Credential])
        }
    };
    let genuine = || {
        let ak = parse_ak(ak_public).map_err(AppraisalError::Ak)?;
        let expected = Expected {
            key: ak.key(),
            scheme: Some(ak.scheme()),
            extra_data: &quote.extra_data,
            sha1: Permission::Forbidden,
        };
        verify_quote(bytes, &quote, &signature, &pcr_values(pcrs), expected).map_err(AppraisalError::Quote)
    };
    Ok(Explanation { genuine: genuine().map_err(NotGenuine::Evidence), rules })
}

fn refused(error: SnpError) -> NotGenuine {
    NotGenuine::Evidence(AppraisalError::Snp(error))
}

/// A report whose chain and signature were checked, or which is at least readable.
enum ReportCheck<'a> {
    Verified(Box<VerifiedReport<'a>>),
    Unverified { report: Box<Report>, product: Product, error: SnpError },
}

impl<'a> ReportCheck<'a> {
    fn of(
        read: ReadReport<'a>,
        context: Context<'a>,
        cache: &mut ChainCache,
    ) -> Result<Self, AppraisalError> {
        let Context { anchors, collateral, now_unix_secs: now } = context;
        let report = read.report().clone();
        let unverified = |error| {
            // Without an endorsement the report itself names its product, from version 3 on.
            let product = report.cpuid.and_then(|cpuid| cpuid.product());
            let product = product.ok_or(AppraisalError::Snp(error))?;
            Ok(Self::Unverified { report: Box::new(report.clone()), product, error })
        };
        let read = match read.with_collateral(collateral).with_vek(anchors.amd(), cache) {
            Ok(read) => read,
            Err(error) => return unverified(error),
        };
        // Whether a masked chip is accepted is each rule's to say.
        match read.verify(anchors.amd(), Permission::Allowed, seconds(now), cache) {
            Ok(verified) => Ok(Self::Verified(Box::new(verified))),
            Err(error) => unverified(error),
        }
    }

    fn genuine(&self) -> Result<(), AppraisalError> {
        match self {
            Self::Verified(_) => Ok(()),
            Self::Unverified { error, .. } => Err(AppraisalError::Snp(*error)),
        }
    }

    fn verified(&self) -> Option<&VerifiedReport<'a>> {
        match self {
            Self::Verified(verified) => Some(verified),
            Self::Unverified { .. } => None,
        }
    }

    /// Judges by a rule, with its claims and, if its chain was verified, a way to check revocation.
    fn with<T>(
        &self,
        context: Context<'_>,
        cache: &mut ChainCache,
        judge: impl FnOnce(Claimed<'_>, Revocation<'_>) -> T,
    ) -> T {
        match self {
            Self::Verified(verified) => {
                let now = seconds(context.now_unix_secs);
                let mut check = |accept: &SnpAccept| {
                    verified
                        .check_revocation(accept.revocation, context.anchors.amd(), now, cache)
                        .map_err(AppraisalError::Snp)
                };
                judge(verified.claimed(), Some(&mut check))
            }
            Self::Unverified { report, product, error: _ } => {
                judge(Claimed { report, product: *product, provider: None }, None)
            }
        }
    }
}
