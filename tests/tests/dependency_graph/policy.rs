//! The part of `deny.toml` that needs no database.

use serde::Deserialize;

use super::graph::{Graph, Package};

#[derive(Deserialize)]
pub(crate) struct Policy {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

impl Policy {
    pub(crate) fn violations(&self, graph: &Graph) -> Vec<String> {
        graph.packages().flat_map(|package| self.check(package)).collect()
    }

    fn check(&self, package: &Package) -> Vec<String> {
        let Package { name, license, source, .. } = package;
        let mut found = Vec::new();
        let license = license.as_deref().unwrap_or_default();
        if !self.licence_allowed(name, license) {
            found.push(format!("{name} has the licence {license:?}"));
        }
        if let Some(source) = source
            && !source
                .strip_prefix("registry+")
                .is_some_and(|url| self.sources.allow_registry.iter().any(|a| a == url))
        {
            found.push(format!("{name} comes from {source}"));
        }
        if self.bans.deny.iter().any(|ban| ban.name == *name) {
            found.push(format!("{name} is banned"));
        }
        found
    }

    fn licence_allowed(&self, name: &str, expression: &str) -> bool {
        let exceptions = self.licenses.exceptions.iter().filter(|exception| exception.name == name);
        let allowed: Vec<&str> = exceptions
            .flat_map(|exception| &exception.allow)
            .chain(&self.licenses.allow)
            .map(String::as_str)
            .collect();
        // Before SPDX expressions, crates wrote `MIT/Apache-2.0`.
        let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = text.split_whitespace().peekable();
        either(&mut words, &allowed) == Some(true) && words.next().is_none()
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// SPDX specification, annex D: `OR` binds weaker than `AND`. `None` if it is not an expression.
fn either(words: &mut Words<'_>, allowed: &[&str]) -> Option<bool> {
    let mut verdict = both(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        verdict |= both(words, allowed)?;
    }
    Some(verdict)
}

fn both(words: &mut Words<'_>, allowed: &[&str]) -> Option<bool> {
    let mut verdict = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words, allowed)?;
    }
    Some(verdict)
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let verdict = either(words, allowed)?;
        return (words.next()? == ")").then_some(verdict);
    }
    let licence = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{word} WITH {}", words.next()?),
        None => word.to_owned(),
    };
    Some(allowed.contains(&licence.as_str()))
}
