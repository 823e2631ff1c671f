//! Puts cases to the verifier. Every verdict comes from rules of `vouchsafe-attestation`; this only reads the schema,
//! hands over the files and reports what came back. By kind and content, never by name.

mod anchors;
mod azure;
mod chain;
mod claims;
mod explained;
pub(crate) mod launch;
mod log;
pub(crate) mod pcrs;
mod quote;
mod snp;
mod statement;

use std::cell::Cell;

use vouchsafe_attestation::x509::Certificate;
use vouchsafe_attestation::{AnchorError, TrustAnchors};
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::policy::Accept;

use crate::policy::CasePolicy;
use crate::schema::{Case, Files};
use crate::suite::Suite;
use crate::verdict::{Run, Shown, Stop, Verdict};

/// Kinds that are verified.
pub const KINDS: [&str; 14] = [
    "ak-chain",
    "azure-snp",
    "crl",
    "ek-chain",
    "event-log",
    "hcl-parse",
    "ima-parse",
    "launch-digest",
    "log-parse",
    "quote-parse",
    "snp-parse",
    "snp-report",
    "tpm-quote",
    "vek-chain",
];

/// Kinds of evidence that carry no signature, or none that is checked: they can be well-formed and no more.
const UNSIGNED_KINDS: [&str; 7] =
    ["event-log", "hcl-parse", "ima-parse", "launch-digest", "log-parse", "quote-parse", "snp-parse"];

/// Code of the refusal of well-formed evidence that nothing vouches for.
pub const UNSIGNED: &str = "evidence.unsigned";

#[derive(Debug, thiserror::Error)]
#[error("well-formed; nothing vouches for it")]
struct Unsigned;

/// A suite whose anchors were read once.
#[derive(Debug)]
pub struct Runner<'a> {
    suite: &'a Suite,
    anchors: Run<TrustAnchors>,
    /// Roots of TPMs that the caller believes. With them nothing that a document or a case names is an anchor.
    callers_roots: Option<Vec<Certificate>>,
    /// Names of the sets that they are in.
    callers_sets: Vec<String>,
    unopened: Unopened,
}

/// What of a quote whose credential nobody has asked the TPM to open: that takes the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// The key is taken to be the TPM's: the caller has waived it.
    Assumed,
    Refused,
}

/// One case while it is looked at.
pub(crate) struct Running<'a> {
    pub(crate) suite: &'a Suite,
    pub(crate) case: &'a Case,
    pub(crate) files: &'a Files,
    pub(crate) policy: CasePolicy,
    pub(crate) anchors: &'a TrustAnchors,
    /// Roots of TPMs that the caller believes: set if somebody sent the case, who vouches for nothing in it.
    pub(crate) callers_roots: Option<&'a [Certificate]>,
    /// Rules instead of the case's policy.
    pub(crate) rules: Option<&'a [Accept]>,
    pub(crate) unopened: Unopened,
    /// Index of the rule that accepted, once one has.
    pub(crate) accepted_by: Cell<Option<usize>>,
}

/// The verdict on one case of a suite. [`Runner`] is faster for many.
#[must_use]
pub fn run(suite: &Suite, case: &Case) -> Verdict {
    Runner::new(suite).run(case)
}

impl<'a> Runner<'a> {
    /// Reads the anchors of a suite. Those that cannot be used refuse each case that needs them.
    #[must_use]
    pub fn new(suite: &'a Suite) -> Self {
        let anchors = anchors::of(suite, None);
        Self { suite, anchors, callers_roots: None, callers_sets: Vec::new(), unopened: Unopened::Refused }
    }

    /// Takes anchors of the caller's instead: for a bundle, which somebody sent and which must not say who vouches
    /// for it. A quote's key must then be shown to be a TPM's, and what nobody signed is refused with [`UNSIGNED`].
    ///
    /// # Errors
    /// [`AnchorError`]: the anchors cannot be used.
    pub fn with_anchors(suite: &'a Suite, anchors: &Anchors) -> Result<Self, AnchorError> {
        let trusted = TrustAnchors::new(anchors)?;
        let certificates = anchors.tpm.iter().flat_map(|set| &set.certificates);
        let roots = certificates.filter_map(|der| Certificate::parse(der).ok()).collect();
        let callers_sets = anchors.tpm.iter().map(|set| set.name.as_str().to_owned()).collect();
        let (anchors, callers_roots) = (Ok(trusted), Some(roots));
        Ok(Self { suite, anchors, callers_roots, callers_sets, unopened: Unopened::Refused })
    }

    /// Lets rules of a role accept a quote although nobody has asked its TPM to open a credential: that the key is the
    /// TPM's is then not shown, and anybody could have made the quote. The claims say `"not_tried": ["credential"]`.
    #[must_use]
    pub fn dangerous_assume_resident(self) -> Self {
        Self { unopened: Unopened::Assumed, ..self }
    }

    /// The verdict on a case, with its files as the suite has them.
    #[must_use]
    pub fn run(&self, case: &Case) -> Verdict {
        self.run_with(case, &self.suite.files_of(case))
    }

    /// The verdict on a case with other files: those of a mutation.
    #[must_use]
    pub fn run_with(&self, case: &Case, files: &Files) -> Verdict {
        self.try_run(case, files, None).into()
    }

    /// The verdict by rules of a role instead of the case's policy; any one suffices.
    #[must_use]
    pub fn run_by_rules(&self, case: &Case, files: &Files, rules: &[Accept]) -> Verdict {
        self.try_run(case, files, Some(rules)).into()
    }

    fn try_run(&self, case: &Case, files: &Files, rules: Option<&[Accept]>) -> Run<Shown> {
        let mut policy = CasePolicy::read(case.policy.as_ref())?;
        if self.callers_roots.is_some() {
            policy.tpm_anchors = Some(self.callers_sets.clone());
        }
        let own;
        let anchors = match (&case.anchors, &self.anchors) {
            (Some(names), _) if self.callers_roots.is_none() => {
                own = anchors::of(self.suite, Some(names))?;
                &own
            }
            (_, Ok(anchors)) => anchors,
            (_, Err(stop)) => return Err(stop.clone()),
        };
        let accepted_by = Cell::new(None);
        let callers_roots = self.callers_roots.as_deref();
        let (suite, unopened) = (self.suite, self.unopened);
        let running =
            Running { suite, case, files, policy, anchors, callers_roots, rules, unopened, accepted_by };
        let claims = match case.kind.as_str() {
            "ak-chain" => chain::attestation(&running),
            "azure-snp" => azure::check(&running),
            "crl" => snp::check_crl(&running),
            "ek-chain" => chain::endorsement(&running),
            "event-log" => log::check(&running),
            "hcl-parse" => azure::parse(&running),
            "ima-parse" => log::parse_ima(&running),
            "launch-digest" => launch::check(&running),
            "log-parse" => log::parse(&running),
            "quote-parse" => quote::parse(&running),
            "snp-parse" => snp::parse(&running),
            "snp-report" => snp::check(&running),
            "tpm-quote" => quote::check(&running),
            "vek-chain" => snp::check_vek_chain(&running),
            kind => Err(Stop::not_supported(format!("kind '{kind}' is not verified in this version"))),
        }?;
        if callers_roots.is_some() && UNSIGNED_KINDS.contains(&case.kind.as_str()) {
            return Err(Stop::refused(UNSIGNED, &Unsigned));
        }
        match (rules, running.accepted_by.get()) {
            (Some(_), None) => Err(Stop::not_supported(
                "rules of a role are for evidence over a statement, or for reports; this is neither",
            )),
            (_, rule) => Ok(Shown { rule, claims }),
        }
    }
}

impl Running<'_> {
    /// A file that the kind needs.
    pub(crate) fn file(&self, part: &str) -> Run<&[u8]> {
        self.files.get(part).map(Vec::as_slice).ok_or_else(|| Stop::missing(part))
    }

    /// DER of a certificate, key or list that the kind needs.
    pub(crate) fn der(&self, part: &str) -> Run<Vec<u8>> {
        crate::pem::to_der(self.file(part)?).map_err(|_| Stop::malformed(part))
    }

    /// DER of one that may be absent.
    pub(crate) fn optional_der(&self, part: &str) -> Run<Option<Vec<u8>>> {
        self.files.contains_key(part).then(|| self.der(part)).transpose()
    }

    /// DER of `part1`, `part2`, ... in this order.
    pub(crate) fn numbered_der(&self, part: &str) -> Run<Vec<Vec<u8>>> {
        (1..)
            .map(|number| format!("{part}{number}"))
            .take_while(|name| self.files.contains_key(name))
            .map(|name| self.der(&name))
            .collect()
    }

    /// Verification time in seconds since 1970.
    pub(crate) fn at(&self) -> Run<i64> {
        self.case
            .at_unix_secs()
            .ok_or_else(|| Stop::not_supported("the case has no verification time in RFC 3339"))
    }

    /// The same where a time before 1970 makes no sense.
    pub(crate) fn now(&self) -> Run<u64> {
        u64::try_from(self.at()?).map_err(|_| Stop::not_supported("the verification time is before 1970"))
    }

    /// Bytes that the case states in hexadecimal.
    pub(crate) fn hex(&self, text: &str, what: &str) -> Run<Vec<u8>> {
        hex::decode(text).map_err(|_| Stop::not_supported(format!("{what} is not hexadecimal")))
    }
}
