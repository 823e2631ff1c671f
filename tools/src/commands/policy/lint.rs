//! `vouchsafe policy lint`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use vouchsafe_client::policy;
use vouchsafe_client::policy::lint::{Finding, lint};

use super::time;
use crate::context::now_secs;
use crate::output::Output;

/// Exit code with findings.
const FOUND: u8 = 3;

/// Flags.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Policy files (TOML), given together
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Judge what has expired as of this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
}

/// Runs it.
pub(super) fn run(args: &LintArgs) -> Result<Output> {
    let roles = policy::compile_files(&args.files)?;
    let accepts = roles.iter().map(|role| role.accept.len()).sum();
    Ok(told(&lint(&roles, args.at.unwrap_or_else(now_secs)), roles.len(), accepts))
}

fn told(findings: &[Finding], roles: usize, accepts: usize) -> Output {
    let mut lines: Vec<String> = findings
        .iter()
        .map(|Finding { role, place, problem }| format!("{role}, {place}: {problem} [{}]", problem.code()))
        .collect();
    let count = match findings.len() {
        0 => "nothing found".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    lines.push(format!(
        "{count} in {roles} role(s); nothing is reached without evidence: each has an accept rule ({accepts} in all)"
    ));
    let listed: Vec<Value> = findings
        .iter()
        .map(|Finding { role, place, problem }| {
            json!({
                "role": role.as_str(),
                "place": place.to_string(),
                "code": problem.code(),
                "message": problem.to_string(),
            })
        })
        .collect();
    let json = json!({
        "findings": listed,
        "roles": roles,
        "accept_rules": accepts,
        // The compiler and the enclave refuse a role without an accept rule.
        "reached_without_evidence": [],
    });
    let output = Output::new(lines.join("\n"), json);
    if findings.is_empty() { output } else { output.exit_with(FOUND) }
}

#[cfg(test)]
mod tests {
    use vouchsafe_client::policy::lint::{Place, Problem};

    use super::*;

    #[test]
    fn findings_are_lines_and_end_with_3() {
        let finding = Finding {
            role: "web".parse().unwrap(),
            place: Place::Allow(2),
            problem: Problem::Hidden { earlier: 1 },
        };
        let output = told(&[finding], 1, 2);
        assert_eq!(
            output.text(),
            "web, allow rule 2: it never decides: allow rule 1 allows the same and more, and comes first [hidden]\n\
             1 finding in 1 role(s); nothing is reached without evidence: each has an accept rule (2 in all)"
        );
        assert_eq!((output.exit, output.json()["findings"][0]["code"].as_str()), (3, Some("hidden")));
        let none = told(&[], 2, 2);
        assert!(none.text().starts_with("nothing found in 2 role(s)"));
        assert_eq!((none.exit, &none.json()["reached_without_evidence"]), (0, &json!([])));
    }
}
