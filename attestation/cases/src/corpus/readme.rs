//! `README.md` of a written corpus.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::schema::{Case, Expect};
use crate::suite::Suite;

/// What does not depend on the cases.
const HEAD: &str = include_str!("readme.md");

pub(super) fn describe(suite: &Suite) -> String {
    let cases = &suite.document.cases;
    let mut text = HEAD.to_owned();
    let good = cases.iter().filter(|case| case.expect == Expect::Valid).count();
    let mut line = |row: String| text.push_str(&row);
    line(format!(
        "\n## Counts\n\n{} cases: {good} to accept, {} to refuse.\n",
        cases.len(),
        cases.len() - good
    ));
    line(table("kind", &count(cases, |case| vec![case.kind.clone()])));
    line(table("attack", &count(cases, |case| case.ids.clone())));
    line(table("code", &count(cases, |case| case.code.clone().into_iter().collect())));
    text
}

fn count(cases: &[Case], of: impl Fn(&Case) -> Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in cases.iter().flat_map(of) {
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

fn table(title: &str, counts: &BTreeMap<String, usize>) -> String {
    let mut text = format!("\n| {title} | cases |\n| --- | --- |\n");
    for (name, count) in counts {
        // Writing to a string does not fail.
        if writeln!(text, "| `{name}` | {count} |").is_err() {
            break;
        }
    }
    text
}
