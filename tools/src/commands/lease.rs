//! `vouchsafe lease`: for how long what was handed out may be kept, and its end.

use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::lease::{Lease, LeaseEntry, Selector};
use vouchsafe_protocol::path::Path;

use super::kv::Who;
use super::policy::paths::{Bytes, hexadecimal};
use super::policy::time;
use crate::context::{Context, rfc3339};
use crate::output::Output;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List leases that hold: an operator sees all, an agent its own
    #[command(
        after_help = "Examples:\n  vouchsafe lease list\n  vouchsafe lease list --as billing --output json"
    )]
    List {
        #[command(flatten)]
        who: Who,
    },
    /// Make a lease hold for another period; for the agent that holds it
    ///
    /// If the rule asks for fresh evidence, or the evidence is about to be too old, run 'vouchsafe introduce --renew'
    /// first: only the key that holds a lease can renew it.
    #[command(after_help = "Examples:\n  vouchsafe lease renew 17\n  \
        vouchsafe introduce --role billing --platform tpm --renew && vouchsafe lease renew 17")]
    Renew {
        /// Its number
        lease: u64,
        #[command(flatten)]
        who: Who,
    },
    /// End leases, or identities with all that rests on them, from their next request on
    ///
    /// Hits what was handed out before, and nothing after: who still satisfies the policy can come back with new
    /// evidence. To keep somebody out, change the policy. An agent can give back a lease of its own.
    #[command(
        after_help = "Examples:\n  vouchsafe lease revoke 17\n  vouchsafe lease revoke --prefix kv/billing\n  \
        vouchsafe lease revoke --measurement 5e3c…\n  vouchsafe lease revoke --evidence-before 2026-11-23T08:00:00Z\n\n\
        'vouchsafe evidence seen' shows the identities with their measurements and platforms."
    )]
    Revoke(RevokeArgs),
}

/// What is ended.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args([
    "lease", "prefix", "identity", "role", "measurement", "platform", "evidence_before",
]))]
pub(crate) struct RevokeArgs {
    /// One lease, by its number
    lease: Option<u64>,
    /// Leases of this path and of everything below it
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    prefix: Option<Path>,
    /// One identity, by the serial number of its certificate
    #[arg(long, value_name = "NUMBER")]
    identity: Option<u64>,
    /// All identities of a role
    #[arg(long, value_name = "NAME")]
    role: Option<RoleName>,
    /// Identities with this launch digest, or digest of the quoted PCRs
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    measurement: Option<Bytes>,
    /// Identities on this platform: its chip id, or SHA-256 of its TPM's certified key
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    platform: Option<Bytes>,
    /// Identities whose evidence is from before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    evidence_before: Option<u64>,
    #[command(flatten)]
    who: Who,
}

/// A prefix, with or without the `/*` that policy would have.
fn prefix(text: &str) -> Result<Path, String> {
    let text = text.strip_suffix("/*").unwrap_or(text);
    text.parse().map_err(|error: vouchsafe_protocol::path::PathError| error.to_string())
}

impl RevokeArgs {
    /// The one thing that is named; the parser saw to it that there is one.
    fn selector(self) -> Option<Selector> {
        let Self { lease, prefix, identity, role, measurement, platform, evidence_before, who: _ } = self;
        lease
            .map(Selector::Lease)
            .or(prefix.map(Selector::Prefix))
            .or(identity.map(Selector::Identity))
            .or(role.map(Selector::Role))
            .or(measurement.map(|bytes| Selector::Measurement(bytes.0)))
            .or(platform.map(|bytes| Selector::Platform(bytes.0)))
            .or(evidence_before.map(Selector::EvidenceBefore))
    }
}

/// Runs it.
pub(crate) async fn run(command: LeaseCommand, context: &Context) -> Result<Output> {
    match command {
        LeaseCommand::List { who } => {
            let conversation = who.manager(context).await?;
            let listed = conversation.session.leases().list().await.context("leases cannot be listed");
            let (leases, end) = conversation.conclude(&context.home, listed).await?;
            Ok(list(&leases).after(end))
        }
        LeaseCommand::Renew { lease, who } => {
            let conversation = who.agent(context).await?;
            let renewed = conversation.session.leases().renew(lease).await;
            let renewed = renewed.with_context(|| format!("lease {lease} was not renewed"));
            let (lease, end) = conversation.conclude(&context.home, renewed).await?;
            let json = json!({ "lease": lease_json(lease) });
            Ok(Output::new(format!("renewed: {}", lease_text(lease)), json).after(end))
        }
        LeaseCommand::Revoke(args) => {
            let who = args.who.clone();
            let selector = args.selector().context("nothing to revoke is named")?;
            let conversation = who.manager(context).await?;
            let decided = conversation.session.leases().revoke(&selector).await;
            let decided = decided.context("nothing was revoked");
            let ((), end) = conversation.conclude(&context.home, decided).await?;
            Ok(revoked(&selector).after(end))
        }
    }
}

fn list(leases: &[LeaseEntry]) -> Output {
    let mut lines =
        vec![format!("{:<8}{:<32}{:<16}{:<10}{:<22}end", "lease", "path", "role", "identity", "until")];
    for LeaseEntry { lease, path, identity, role } in leases {
        let (until, end) = (rfc3339(lease.until_secs), rfc3339(lease.end_secs));
        lines.push(format!(
            "{:<8}{:<32}{:<16}{identity:<10}{until:<22}{end}",
            lease.number,
            path.as_str(),
            role.as_str()
        ));
    }
    if leases.is_empty() {
        lines = vec!["no lease is held".to_owned()];
    }
    let json: Vec<Value> = leases
        .iter()
        .map(|entry| {
            let LeaseEntry { lease, path, identity, role } = entry;
            json!({
                "lease": lease_json(*lease),
                "path": path.as_str(),
                "identity": identity,
                "role": role.as_str(),
            })
        })
        .collect();
    Output::new(lines.join("\n"), json!({ "leases": json }))
}

/// A lease in words.
pub(crate) fn lease_text(lease: Lease) -> String {
    let Lease { number, until_secs, end_secs } = lease;
    format!(
        "lease {number} holds until {}, and can be renewed up to {}",
        rfc3339(until_secs),
        rfc3339(end_secs)
    )
}

/// A lease as JSON.
pub(crate) fn lease_json(lease: Lease) -> Value {
    let Lease { number, until_secs, end_secs } = lease;
    json!({ "number": number, "until_secs": until_secs, "end_secs": end_secs })
}

/// How many it hits is not known yet: the decision holds at once, and is cleaned up after by and by.
fn revoked(selector: &Selector) -> Output {
    let (what, kind, value): (_, _, Value) = match selector {
        Selector::EvidenceBefore(secs) => (
            format!("identities with evidence from before {}", rfc3339(*secs)),
            "evidence-before",
            (*secs).into(),
        ),
        Selector::Identity(number) => (format!("identity {number}"), "identity", (*number).into()),
        Selector::Lease(number) => (format!("lease {number}"), "lease", (*number).into()),
        Selector::Measurement(bytes) => (
            format!("identities with measurement {}", hex::encode(bytes)),
            "measurement",
            hex::encode(bytes).into(),
        ),
        Selector::Platform(bytes) => {
            (format!("identities on platform {}", hex::encode(bytes)), "platform", hex::encode(bytes).into())
        }
        Selector::Prefix(path) => {
            (format!("leases of {path} and of what is below it"), "prefix", path.as_str().into())
        }
        Selector::Role(role) => (format!("identities of role {role}"), "role", role.as_str().into()),
    };
    let text = match selector {
        Selector::Lease(_) => format!("ended {what}"),
        Selector::Prefix(_) => format!("decided: {what}, handed out until now, have ended"),
        _ => format!("decided: {what}, issued until now, have ended, and so has all that rests on them"),
    };
    Output::new(text, json!({ "revoked": { "by": kind, "value": value } }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: LeaseCommand,
    }

    fn selector(arguments: &str) -> Option<Selector> {
        let line = Line::try_parse_from(["lease", "revoke"].into_iter().chain(arguments.split(' '))).ok()?;
        match line.command {
            LeaseCommand::Revoke(args) => args.selector(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn revoke_takes_exactly_one_thing() {
        let path = || "kv/billing".parse().unwrap();
        for (arguments, expected) in [
            ("17", Selector::Lease(17)),
            ("--prefix kv/billing", Selector::Prefix(path())),
            ("--prefix kv/billing/*", Selector::Prefix(path())),
            ("--identity 4", Selector::Identity(4)),
            ("--role billing", Selector::Role("billing".parse().unwrap())),
            ("--measurement ab00", Selector::Measurement(vec![0xab, 0])),
            ("--platform 05", Selector::Platform(vec![5])),
            ("--evidence-before 1970-01-01T00:01:00Z --as ann", Selector::EvidenceBefore(60)),
        ] {
            assert_eq!(selector(arguments), Some(expected), "{arguments}");
        }
        for arguments in ["", "x", "17 --identity 4", "--prefix kv//x", "--measurement abc", "--role A B"] {
            assert_eq!(selector(arguments), None, "{arguments}");
        }
    }

    #[test]
    fn leases_are_a_table_and_a_list() {
        let lease = Lease { number: 17, until_secs: 60, end_secs: 3600 };
        let (path, role) = ("kv/billing/db".parse().unwrap(), "billing".parse().unwrap());
        let output = list(&[LeaseEntry { lease, path, identity: 4, role }]);
        let words: Vec<&str> = output.text().lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            ["17", "kv/billing/db", "billing", "4", "1970-01-01T00:01:00Z", "1970-01-01T01:00:00Z"]
        );
        assert_eq!(
            output.json()["leases"][0]["lease"],
            json!({ "number": 17, "until_secs": 60, "end_secs": 3600 })
        );
        assert_eq!(list(&[]).text(), "no lease is held");
        assert_eq!(
            lease_text(lease),
            "lease 17 holds until 1970-01-01T00:01:00Z, and can be renewed up to 1970-01-01T01:00:00Z"
        );
    }

    #[test]
    fn a_decision_is_said_in_words() {
        let said = |selector: Selector| revoked(&selector).text().to_owned();
        assert_eq!(said(Selector::Lease(17)), "ended lease 17");
        assert_eq!(
            said(Selector::Prefix("kv/a".parse().unwrap())),
            "decided: leases of kv/a and of what is below it, handed out until now, have ended"
        );
        assert_eq!(
            said(Selector::Measurement(vec![0xab])),
            "decided: identities with measurement ab, issued until now, have ended, and so has all that rests on them"
        );
        let output = revoked(&Selector::EvidenceBefore(60));
        assert_eq!(output.json()["revoked"], json!({ "by": "evidence-before", "value": 60 }));
    }
}
