//! Runs every case and mutation of a suite, and compares verdicts with the expected ones.

use serde::Serialize;

use crate::runner::Runner;
use crate::schema::{Case, Expect, Mutation, MutationError};
use crate::suite::Suite;
use crate::verdict::Verdict;

/// What came of a suite.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// One line per case and mutation, in the order of the document.
    pub results: Vec<Line>,
    /// Counts.
    pub summary: Summary,
    /// Whether the document names roots of its own for SNP reports, which are then no real hardware's.
    pub simulated: bool,
}

/// Counts over all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Verdicts that are as expected.
    pub agreed: usize,
    /// Verdicts that differ.
    pub different: usize,
    /// Cases that this version does not verify.
    pub not_supported: usize,
}

/// One case or mutation.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Expected verdict.
    pub expect: Expect,
    /// Expected code, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_code: Option<String>,
    /// Whether the verdict is the expected one.
    pub result: Agreement,
    /// Verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a verdict is the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// It is; the code too, where one is expected.
    Agrees,
    /// It is not.
    Differs,
    /// There is none.
    NotSupported,
}

/// Why a suite cannot be run as a whole.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A mutation of a case that is not there.
    #[error("mutation '{mutation}' is of the unknown case '{base}'")]
    Base {
        /// Mutation.
        mutation: String,
        /// Case.
        base: String,
    },
    /// A mutation does not apply to its case.
    #[error("mutation '{mutation}' does not apply")]
    Mutation {
        /// Mutation.
        mutation: String,
        /// Why.
        #[source]
        source: MutationError,
    },
}

/// Runs everything.
///
/// # Errors
/// [`CheckError`]: the document contradicts itself.
pub fn check(suite: &Suite) -> Result<Outcome, CheckError> {
    let runner = Runner::new(suite);
    let (cases, mutations) = (&suite.document.cases, &suite.document.mutations);
    let mut results = Vec::with_capacity(cases.len() + mutations.len());
    for case in cases {
        results.push(line(&case.name, case, case.expect, case.code.as_ref(), runner.run(case)));
    }
    for mutation in mutations {
        let Mutation { name, base, expect, code, .. } = mutation;
        let case = cases
            .iter()
            .find(|case| case.name == *base)
            .ok_or_else(|| CheckError::Base { mutation: name.clone(), base: base.clone() })?;
        let mut files = suite.files_of(case);
        mutation
            .apply(&mut files)
            .map_err(|source| CheckError::Mutation { mutation: name.clone(), source })?;
        results.push(line(name, case, *expect, code.as_ref(), runner.run_with(case, &files)));
    }
    let mut summary = Summary::default();
    for line in &results {
        match line.result {
            Agreement::Agrees => summary.agreed += 1,
            Agreement::Differs => summary.different += 1,
            Agreement::NotSupported => summary.not_supported += 1,
        }
    }
    Ok(Outcome { results, summary, simulated: suite.document.anchors.is_some() })
}

fn line(name: &str, case: &Case, expect: Expect, code: Option<&String>, verdict: Verdict) -> Line {
    let right_code = code.is_none_or(|code| verdict.code() == Some(code));
    let result = match (&verdict, expect) {
        (Verdict::NotSupported { .. }, _) => Agreement::NotSupported,
        (Verdict::Valid { .. }, Expect::Valid) => Agreement::Agrees,
        (Verdict::Invalid(_), Expect::Invalid) if right_code => Agreement::Agrees,
        (Verdict::Valid { .. } | Verdict::Invalid(_), _) => Agreement::Differs,
    };
    let expect_code = code.cloned();
    Line { name: name.to_owned(), kind: case.kind.clone(), expect, expect_code, result, verdict }
}
