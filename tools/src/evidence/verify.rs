//! `evidence verify`: one piece of evidence, or a bundle, by the default policy of the schema or by a role.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vouchsafe_attestation::AppraisalError;
use vouchsafe_attestation::snp::report::REPORT_LEN;
use vouchsafe_client::policy;
use vouchsafe_evidence::runner::UNSIGNED;
use vouchsafe_evidence::{Bundle, Case, Runner, Verdict};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::Accept;

use super::inspect::{Piece, piece};
use super::{read_file, suite, time_or_now, unusable};
use crate::commands::anchors::AnchorArgs;
use crate::failure::Problem;

/// Arguments of `vouchsafe evidence verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// A bundle's directory, or a file: a report, quote, log, HCL report, VEK certificate or revocation list.
    ///
    /// Roots are AMD's and those of the flags below, policy and time are those of the flags or the default: never what
    /// a bundle names. Its nonce or report data is what the evidence is expected to be over, and the output says so.
    ///
    /// Of a file alone there is little to verify: a report without its certificate has no endorsement and is refused.
    pub path: PathBuf,
    /// Judge by a role of these policy files instead of the default policy
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "role")]
    pub policy: Vec<PathBuf>,
    /// The role
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub role: Option<String>,
    /// Believe that the TPM holds the key of a quote although nobody has asked it to open a credential: a waiver.
    ///
    /// A vault asks the TPM itself, which cannot be done with a stored bundle. Without this such a bundle is refused as
    /// tpm.ak.not-resident; with it anybody may have made the quote, and the output says so.
    #[arg(long, requires = "policy")]
    pub assume_resident: bool,
    #[command(flatten)]
    pub(crate) anchors: AnchorArgs,
    /// Verify at this time instead of now; RFC 3339
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// What a file is, instead of telling from its bytes
    #[arg(long, value_name = "KIND")]
    pub kind: Option<FileKind>,
}

/// What a single file can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// Revocation list of AMD's.
    Crl,
    /// Boot event log.
    EventLog,
    /// HCL report of a paravisor.
    Hcl,
    /// IMA log.
    ImaLog,
    /// TPM quote (TPMS_ATTEST).
    Quote,
    /// SEV-SNP attestation report.
    Report,
    /// VCEK or VLEK certificate.
    Vek,
}

impl FileKind {
    /// Kind of the case, and the part of the file in it.
    fn case(self) -> (&'static str, &'static str) {
        match self {
            Self::Crl => ("crl", "crl"),
            Self::EventLog => ("log-parse", "event_log"),
            Self::Hcl => ("hcl-parse", "hcl"),
            Self::ImaLog => ("ima-parse", "ima_log"),
            Self::Quote => ("quote-parse", "quote"),
            Self::Report => ("snp-report", "report"),
            Self::Vek => ("vek-chain", "leaf"),
        }
    }

    /// What a file that cannot be read was meant to be, as far as its beginning tells.
    fn of_broken(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, b'T', b'C', b'G', ..] => Some(Self::Quote),
            [b'H', b'C', b'L', b'A', ..] => Some(Self::Hcl),
            _ if bytes.len() == REPORT_LEN => Some(Self::Report),
            [2..=5, 0, 0, 0, ..] if bytes.len() < 2 * REPORT_LEN => Some(Self::Report),
            [0, 0, 0, 0, ..] => Some(Self::EventLog),
            _ => None,
        }
    }
}

/// What came of it.
pub(super) struct Verified {
    verdict: Verdict,
    role: Option<String>,
    freshness: &'static str,
    simulated: bool,
    assumes_resident: bool,
}

/// Verifies.
///
/// # Errors
/// Something that cannot be read, or that no verdict can be given on.
pub(super) fn verify(args: &VerifyArgs) -> anyhow::Result<Verified> {
    let rules = rules(args)?;
    let suite =
        if args.path.is_dir() { suite(&args.path)? } else { alone(&args.path, args.kind)?.to_suite() };
    let mut document = suite.document.clone();
    let [case] = document.cases.as_mut_slice() else {
        let count = document.cases.len();
        let what = format!("{} holds {count} cases; verify takes a bundle of one", args.path.display());
        return Err(Problem::usage(what).hint("use: vouchsafe evidence check").into());
    };
    // Neither time nor policy of the bundle: whoever sent it would choose by what it is judged.
    let at = OffsetDateTime::from_unix_timestamp(time_or_now(args.at.as_deref())?)?;
    case.at = Some(at.format(&Rfc3339)?);
    let pin = case.policy.take().and_then(|policy| policy.get("report_data").cloned());
    case.policy = pin.map(|pin| json!({ "report_data": pin }));
    let freshness = freshness(case);
    let files = suite.files_of(case);
    // Never the anchors that a bundle names: whoever sent it would choose who vouches for it.
    let anchors = args.anchors.load().map_err(|error| Problem::usage(format!("{error:#}")))?;
    let simulated = anchors.class() == AnchorClass::Simulated;
    let runner = Runner::with_anchors(&suite, &anchors).context("the anchors cannot be used")?;
    let runner = if args.assume_resident { runner.dangerous_assume_resident() } else { runner };
    let verdict = match &rules {
        None => runner.run_with(case, &files),
        Some(rules) => runner.run_by_rules(case, &files, rules),
    };
    if let Verdict::NotSupported { reason } = verdict {
        return Err(Problem::usage(format!("no verdict can be given: {reason}")).into());
    }
    let assumes_resident = args.assume_resident;
    Ok(Verified { verdict, role: args.role.clone(), freshness, simulated, assumes_resident })
}

/// Where it comes from what the evidence is expected to be over.
fn freshness(case: &Case) -> &'static str {
    if case.introduction.is_some() {
        "expected: the introduction that the bundle states"
    } else if case.collection.is_some() {
        "expected: the nonce of the collection that the bundle states"
    } else if case.nonce.is_some() {
        "expected: the nonce that the bundle states"
    } else if case.policy.is_some() {
        "expected: the report data that the bundle states"
    } else {
        "not checked: the bundle states no nonce and no report data"
    }
}

/// The accept rules of the role.
fn rules(args: &VerifyArgs) -> anyhow::Result<Option<Vec<Accept>>> {
    let Some(name) = &args.role else { return Ok(None) };
    let roles = policy::compile_files(&args.policy).map_err(|error| unusable(&error))?;
    let known: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let role = roles.iter().find(|role| role.name.as_str() == name).ok_or_else(|| {
        Problem::usage(format!("there is no role '{name}'; the files have {}", known.join(", ")))
    })?;
    Ok(Some(role.accept.clone()))
}

/// A file as a bundle of itself.
fn alone(path: &Path, kind: Option<FileKind>) -> anyhow::Result<Bundle> {
    let bytes = read_file(path)?;
    let kind = match kind {
        Some(kind) => kind,
        None => told(path, &bytes)?,
    };
    let (kind, part) = kind.case();
    let case = Case { name: "file".to_owned(), kind: kind.to_owned(), ..Case::default() };
    Ok(Bundle { case, files: BTreeMap::from([(part.to_owned(), bytes)]) })
}

/// What a file is by its bytes.
fn told(path: &Path, bytes: &[u8]) -> anyhow::Result<FileKind> {
    let found = match (piece(bytes), FileKind::of_broken(bytes)) {
        // Logs can begin with any number of a PCR; a report that was cut short begins with its version.
        (Ok(Piece::EventLog | Piece::ImaLog), Some(FileKind::Report)) => return Ok(FileKind::Report),
        (Ok(found), _) => found,
        (Err(_), Some(kind)) => return Ok(kind),
        (Err(error), None) => return Err(unusable(&*error)),
    };
    match found {
        Piece::Report(_) => Ok(FileKind::Report),
        Piece::Quote(_) => Ok(FileKind::Quote),
        Piece::Hcl => Ok(FileKind::Hcl),
        Piece::EventLog => Ok(FileKind::EventLog),
        Piece::ImaLog => Ok(FileKind::ImaLog),
        Piece::Crl => Ok(FileKind::Crl),
        Piece::Certificate(certificate) if certificate.extension("1.3.6.1.4.1.3704.1.2").is_some() => {
            Ok(FileKind::Vek)
        }
        Piece::Certificate(_) | Piece::Signature(_) | Piece::Public(_) => {
            let what = format!("{} says nothing that could be verified alone", path.display());
            Err(Problem::usage(what).hint("put it into a bundle: a directory with a cases.json").into())
        }
    }
}

/// Whether claims say that something was not tried.
fn is_untried(claims: &Value, what: &str) -> bool {
    claims.get("not_tried").and_then(Value::as_array).is_some_and(|untried| untried.contains(&json!(what)))
}

impl Verified {
    pub(super) fn accepted(&self) -> bool {
        self.verdict.is_valid()
    }

    /// `{accepted, rule, claims, freshness, simulated, waived}`: the rule that accepted, or the code of the one that
    /// refused; `waived` lists the waivers of the command line that it took.
    pub(super) fn to_json(&self) -> Value {
        let mut value = self.verdict_json();
        if let Some(object) = value.as_object_mut() {
            object.insert("freshness".to_owned(), json!(self.freshness));
            object.insert("simulated".to_owned(), json!(self.simulated));
            object.insert("waived".to_owned(), json!(self.waived()));
            if let Some(hint) = self.hint() {
                object.insert("hint".to_owned(), json!(hint));
            }
        }
        value
    }

    /// The flags that a caller had to give for this verdict to be what it is.
    fn waived(&self) -> &'static [&'static str] {
        match &self.verdict {
            Verdict::Valid { claims, .. } if self.assumes_resident && is_untried(claims, "credential") => {
                &["assume-resident"]
            }
            _ => &[],
        }
    }

    /// What to do about a refusal that a role's agent would not meet.
    fn hint(&self) -> Option<&'static str> {
        let refused = self.verdict.code() == Some(AppraisalError::NotResident.code());
        (refused && self.role.is_some() && !self.assumes_resident).then_some(
            "that the TPM holds the key is shown to a vault alone; to judge all else, use --assume-resident",
        )
    }

    fn verdict_json(&self) -> Value {
        match &self.verdict {
            Verdict::Valid { claims, .. } => {
                json!({ "accepted": true, "rule": self.rule(), "claims": claims })
            }
            Verdict::Invalid(refusal) => {
                json!({ "accepted": false, "rule": refusal.code, "reason": refusal.reason, "claims": null })
            }
            Verdict::NotSupported { reason } => json!({ "accepted": false, "rule": null, "reason": reason }),
        }
    }

    fn rule(&self) -> String {
        match (&self.verdict, &self.role) {
            (Verdict::Valid { rule: Some(index), .. }, Some(role)) => format!("{role}.accept[{index}]"),
            _ => "default".to_owned(),
        }
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.simulated {
            writeln!(out, "SIMULATED: judged by roots of simulated hardware")?;
        }
        match &self.verdict {
            Verdict::Valid { claims, .. } => {
                writeln!(out, "accepted by {}", self.rule())?;
                if !self.waived().is_empty() {
                    let what = "nobody has shown that the TPM holds the key (--assume-resident)";
                    writeln!(out, "  WARNING: {what}")?;
                }
                writeln!(out, "  {:<18} {}", "freshness", self.freshness)?;
                let empty = serde_json::Map::new();
                for (name, value) in claims.as_object().unwrap_or(&empty) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    writeln!(out, "  {name:<18} {value}")?;
                }
                Ok(())
            }
            Verdict::Invalid(refusal) if refusal.code == UNSIGNED => {
                writeln!(out, "not accepted: {}\n  {}", refusal.code, refusal.reason)
            }
            Verdict::Invalid(refusal) => {
                writeln!(out, "refused: {}\n  {}", refusal.code, refusal.reason)?;
                self.hint().map_or(Ok(()), |hint| writeln!(out, "  {hint}"))
            }
            Verdict::NotSupported { reason } => writeln!(out, "no verdict: {reason}"),
        }
    }
}
