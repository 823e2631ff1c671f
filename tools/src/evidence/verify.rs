//! `evidence verify`: one piece of evidence, or a bundle, by the default policy of the schema or by a role.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vouchsafe_attestation::TrustAnchors;
use vouchsafe_client::policy;
use vouchsafe_evidence::{Bundle, Case, Runner, Verdict};
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
    /// Roots are AMD's and those of the flags below, never ones that a bundle names.
    ///
    /// Of a file alone there is little to verify: a report without its certificate has no endorsement and is refused.
    pub path: PathBuf,
    /// Judge by a role of these policy files instead of the default policy
    #[arg(long, value_name = "FILE", requires = "role")]
    pub policy: Vec<PathBuf>,
    /// The role
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub role: Option<String>,
    #[command(flatten)]
    pub(crate) anchors: AnchorArgs,
    /// Verify at this time instead of the case's, or now; RFC 3339
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// What came of it.
pub(super) struct Verified {
    verdict: Verdict,
    role: Option<String>,
}

/// Verifies.
///
/// # Errors
/// Something that cannot be read, or that no verdict can be given on.
pub(super) fn verify(args: &VerifyArgs) -> anyhow::Result<Verified> {
    let rules = rules(args)?;
    let suite = if args.path.is_dir() { suite(&args.path)? } else { alone(&args.path)?.to_suite() };
    let mut document = suite.document.clone();
    let [case] = document.cases.as_mut_slice() else {
        let count = document.cases.len();
        let what = format!("{} holds {count} cases; verify takes a bundle of one", args.path.display());
        return Err(Problem::usage(what).hint("use: vouchsafe evidence check").into());
    };
    if args.at.is_some() || case.at.is_none() {
        let at = OffsetDateTime::from_unix_timestamp(time_or_now(args.at.as_deref())?)?;
        case.at = Some(at.format(&Rfc3339)?);
    }
    let files = suite.files_of(case);
    // Never the anchors that a bundle names: whoever sent it would choose who vouches for it.
    let anchors = TrustAnchors::new(&args.anchors.load()?).context("the anchors cannot be used")?;
    let runner = Runner::with_anchors(&suite, anchors);
    let verdict = match &rules {
        None => runner.run_with(case, &files),
        Some(rules) => runner.run_by_rules(case, &files, rules),
    };
    if let Verdict::NotSupported { reason } = verdict {
        return Err(Problem::usage(format!("no verdict can be given: {reason}")).into());
    }
    Ok(Verified { verdict, role: args.role.clone() })
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
fn alone(path: &Path) -> anyhow::Result<Bundle> {
    let bytes = read_file(path)?;
    let (kind, part) = match piece(&bytes).map_err(|error| unusable(&*error))? {
        Piece::Report(_) => ("snp-report", "report"),
        Piece::Quote(_) => ("quote-parse", "quote"),
        Piece::Hcl => ("hcl-parse", "hcl"),
        Piece::EventLog => ("log-parse", "event_log"),
        Piece::ImaLog => ("ima-parse", "ima_log"),
        Piece::Crl => ("crl", "crl"),
        Piece::Certificate(certificate) if certificate.extension("1.3.6.1.4.1.3704.1.2").is_some() => {
            ("vek-chain", "leaf")
        }
        Piece::Certificate(_) | Piece::Signature(_) | Piece::Public(_) => {
            let what = format!("{} says nothing that could be verified alone", path.display());
            return Err(Problem::usage(what)
                .hint("put it into a bundle: a directory with a cases.json")
                .into());
        }
    };
    let case = Case { name: "file".to_owned(), kind: kind.to_owned(), ..Case::default() };
    Ok(Bundle { case, files: BTreeMap::from([(part.to_owned(), bytes)]) })
}

impl Verified {
    pub(super) fn accepted(&self) -> bool {
        self.verdict.is_valid()
    }

    /// `{accepted, rule, claims}`: the rule that accepted, or the code of the one that refused.
    pub(super) fn to_json(&self) -> Value {
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
        match &self.verdict {
            Verdict::Valid { claims, .. } => {
                writeln!(out, "accepted by {}", self.rule())?;
                let empty = serde_json::Map::new();
                for (name, value) in claims.as_object().unwrap_or(&empty) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    writeln!(out, "  {name:<18} {value}")?;
                }
                Ok(())
            }
            Verdict::Invalid(refusal) => writeln!(out, "refused: {}\n  {}", refusal.code, refusal.reason),
            Verdict::NotSupported { reason } => writeln!(out, "no verdict: {reason}"),
        }
    }
}
