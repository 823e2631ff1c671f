//! `evidence check`: runs every case and mutation of a `cases.json` and compares verdicts.

mod cases;
mod chain;
mod quote;
mod snp;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use self::cases::{Case, Expect, Mutation, Suite};

/// What came of a directory.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// One line per case and mutation, in the order of the file.
    pub(super) results: Vec<Line>,
    /// Counts.
    pub(super) summary: Summary,
}

/// Counts over all lines.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Verdicts that are as expected.
    pub(super) agreed: usize,
    /// Verdicts that differ.
    pub(super) different: usize,
    /// Cases of kinds that this version does not verify.
    pub(super) not_supported: usize,
}

/// One case or mutation.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) expect: Expect,
    pub(super) result: Agreement,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

/// Whether a verdict is the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Agreement {
    Agrees,
    Differs,
    NotSupported,
}

/// What the verifier says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Refused.
    Invalid {
        /// Why.
        reason: String,
    },
    /// Not something this version gives a verdict on.
    NotSupported {
        /// Why.
        reason: String,
    },
    /// Everything held.
    Valid,
}

impl Verdict {
    /// A refusal with its whole chain of causes.
    fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self::Invalid { reason: format!("{:#}", error.into()) }
    }

    fn not_supported(reason: impl Into<String>) -> Self {
        Self::NotSupported { reason: reason.into() }
    }

    fn of(result: anyhow::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Valid,
            Err(error) => Self::refused(error),
        }
    }
}

/// Files of a case by their part in it.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Runs a directory.
///
/// # Errors
/// No readable `cases.json` of a known schema, a missing file, or a mutation that does not apply.
pub(super) fn check_dir(dir: &Path) -> anyhow::Result<Outcome> {
    let Suite { cases, mutations } = cases::load(dir)?;
    let mut results = Vec::with_capacity(cases.len() + mutations.len());
    for case in &cases {
        let files = cases::read_files(dir, case)?;
        results.push(line(&case.name, case, case.expect, verdict(case, &files)));
    }
    for mutation in &mutations {
        let Mutation { name, base, expect, .. } = mutation;
        let case = cases
            .iter()
            .find(|case| case.name == *base)
            .with_context(|| format!("mutation '{name}' is of the unknown case '{base}'"))?;
        let mut files = cases::read_files(dir, case)?;
        mutation.apply(&mut files).with_context(|| format!("mutation '{name}' does not apply"))?;
        results.push(line(name, case, *expect, verdict(case, &files)));
    }
    let mut summary = Summary::default();
    for line in &results {
        match line.result {
            Agreement::Agrees => summary.agreed += 1,
            Agreement::Differs => summary.different += 1,
            Agreement::NotSupported => summary.not_supported += 1,
        }
    }
    Ok(Outcome { results, summary })
}

fn line(name: &str, case: &Case, expect: Expect, verdict: Verdict) -> Line {
    let result = match (&verdict, expect) {
        (Verdict::NotSupported { .. }, _) => Agreement::NotSupported,
        (Verdict::Valid, Expect::Valid) | (Verdict::Invalid { .. }, Expect::Invalid) => Agreement::Agrees,
        (Verdict::Valid, Expect::Invalid) | (Verdict::Invalid { .. }, Expect::Valid) => Agreement::Differs,
    };
    Line { name: name.to_owned(), kind: case.kind.clone(), expect, result, verdict }
}

/// The verdict on one case. By kind and content only, never by name.
fn verdict(case: &Case, files: &Files) -> Verdict {
    match case.kind.as_str() {
        "snp-report" => snp::check_report(case, files),
        "snp-parse" => snp::parse_report(files),
        "vek-chain" => snp::check_vek_chain(case, files),
        "tpm-quote" => quote::check_quote(case, files),
        "quote-parse" => quote::parse_quote(files),
        "ak-chain" => chain::check_chain(case, files, chain::Leaf::Attestation),
        "ek-chain" => chain::check_chain(case, files, chain::Leaf::Endorsement),
        kind => Verdict::not_supported(format!("kind '{kind}' is not verified in this version")),
    }
}

impl Outcome {
    /// One line per case, then the counts.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for Line { name, kind, expect, result, verdict } in &self.results {
            let mark = match result {
                Agreement::Agrees => "ok      ",
                Agreement::Differs => "DIFFERS ",
                Agreement::NotSupported => "skipped ",
            };
            let expect = match expect {
                Expect::Valid => "valid",
                Expect::Invalid => "invalid",
            };
            let said = match verdict {
                Verdict::Valid => "valid".to_owned(),
                Verdict::Invalid { reason } => format!("invalid: {reason}"),
                Verdict::NotSupported { reason } => format!("not supported: {reason}"),
            };
            write!(out, "{mark} {kind:<12} {name:<42} {said}")?;
            if *result == Agreement::Differs {
                write!(out, " (expected {expect})")?;
            }
            writeln!(out)?;
        }
        let Summary { agreed, different, not_supported } = &self.summary;
        writeln!(out, "\n{agreed} agree, {different} differ, {not_supported} not supported")
    }
}
