//! `vouchsafe policy`: policy files against evidence, offline: what they accept, why not, and what a change would end.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand};
use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::policy::Capability;

use self::lint::LintArgs;
use self::paths::{AskerArgs, Target};
use super::anchors::AnchorArgs;
use crate::context::Context;
use crate::output::Output;

mod compared;
mod corim;
mod explain;
mod floors;
mod lint;
pub(crate) mod paths;
mod plan;
mod seen_file;
mod stored;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say of every rule of a role why it accepts or refuses stored evidence, or allows or denies a path
    ///
    /// With --evidence: lists all that each accept rule refuses, with what it asks for and what the evidence shows. What
    /// stored evidence cannot show any more, such as freshness, is named and not judged. Exits with 1 if no rule accepts.
    ///
    /// With --path: says which rule decides, and why the others do not. Exits with 1 if it is denied.
    #[command(
        after_help = "Examples:\n  vouchsafe policy explain billing.toml data/tcb-floors.toml --role billing \
        --evidence ./bundle\n  vouchsafe evidence corpus ./corpus; vouchsafe policy explain billing.toml \
        data/tcb-floors.toml --role billing --evidence ./corpus --case s15-good-genoa-version-3 --at \
        2026-01-01T00:00:00Z\n  vouchsafe policy explain billing.toml --role billing --can read --path kv/billing/db \
        --at 2026-11-23T20:00:00Z --evidence-age 1800"
    )]
    Explain(ExplainArgs),
    /// List the TCB floors of policy files, with their bulletins and age
    #[command(after_help = "Examples:\n  vouchsafe policy floors data/tcb-floors.toml")]
    Floors {
        /// Policy files (TOML)
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Turn reference values of a CoRIM into a release of a policy file, on standard output
    ///
    /// Imports launch digests of SEV-SNP (measurement key 641) and SHA-256 integrity registers (PCRs). Whatever else
    /// its reference values ask for is named in comments: add it to the role, or the rule is weaker than the
    /// publisher meant.
    #[command(
        after_help = "Examples:\n  vouchsafe policy import-corim agent.corim --name agent-7 --key acme.pem > \
        agent-7.toml\n  vouchsafe policy import-corim agent.cbor --name agent-7 --unsigned"
    )]
    ImportCorim(CorimArgs),
    /// Find what cannot be meant: rules that never decide, and waivers with wide grants
    ///
    /// Finds paths that nobody can reach and rules that never match: shadowed by a deny rule or an earlier rule, of
    /// another engine, with conditions that never hold, with reference values that have all expired. Exits with 3 if
    /// something is found.
    #[command(after_help = "Examples:\n  vouchsafe policy lint policy/*.toml data/tcb-floors.toml\n  \
        vouchsafe policy lint billing.toml --at 2027-06-01T00:00:00Z --output json")]
    Lint(LintArgs),
    /// Tell whose access new policy files would end, from the evidence that the vault has seen
    ///
    /// Tries the roles in the files on the evidence behind every live identity. Grants are not compared. Exits with 3
    /// if somebody would lose access.
    #[command(
        after_help = "Examples:\n  vouchsafe policy plan billing.toml data/tcb-floors.toml\n  vouchsafe evidence \
        seen --output json > seen.json; vouchsafe policy plan new/*.toml --seen seen.json --before old/*.toml"
    )]
    Plan(PlanArgs),
    /// Say whether a role accepts stored evidence, and allows and denies what it should
    ///
    /// Exits with 1 if it does not. 'vouchsafe policy explain' says why.
    #[command(
        after_help = "Examples:\n  vouchsafe policy test billing.toml --role billing --evidence ./bundle\n  \
        vouchsafe policy test billing.toml --role billing --evidence ./bundle --at 2027-01-01T00:00:00Z\n  \
        vouchsafe policy test billing.toml --role billing --allows read=kv/billing/db --denies read=kv/web/db \
        --denies 'list=kv/*'"
    )]
    Test(TestArgs),
}

/// Flags of `explain`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("about").required(true).args(["evidence", "path"]))]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,
    /// Explain what is said of this path; with '/*' of everything below it
    #[arg(long, value_name = "PATH", requires = "can")]
    path: Option<String>,
    /// What is to be done there, such as 'read'
    #[arg(long, value_name = "CAPABILITY", value_parser = paths::capability, requires = "path")]
    can: Option<Capability>,
    #[command(flatten)]
    asker: AskerArgs,
}

/// Flags of `test`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("about").required(true).multiple(true).args(["evidence", "allows", "denies"]))]
pub(crate) struct TestArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,
    /// Expect that this is allowed; can be given several times
    #[arg(long, value_name = "CAPABILITY=PATH", value_parser = paths::target)]
    allows: Vec<Target>,
    /// Expect that this is denied; can be given several times
    #[arg(long, value_name = "CAPABILITY=PATH", value_parser = paths::target)]
    denies: Vec<Target>,
    #[command(flatten)]
    asker: AskerArgs,
}

/// Flags of `test` and `explain`.
#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    /// Policy files (TOML), given together
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The role to try
    #[arg(long)]
    role: RoleName,
    /// A directory that 'vouchsafe evidence collect' has written, or one with a cases.json
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Which case, if the directory has several
    #[arg(long, value_name = "NAME", requires = "evidence")]
    case: Option<String>,
    /// Judge as of this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
    #[command(flatten)]
    anchors: AnchorArgs,
}

/// Flags of `import-corim`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("publisher").required(true).args(["key", "unsigned"]))]
pub(crate) struct CorimArgs {
    /// The CoRIM (CBOR)
    file: PathBuf,
    /// Name of the release
    #[arg(long)]
    name: String,
    /// Public key of its publisher (PEM or DER): the CoRIM must be signed by it
    #[arg(long, value_name = "KEY.pem")]
    key: Option<PathBuf>,
    /// It carries no signature, and came over a way that you trust
    #[arg(long)]
    unsigned: bool,
    /// Judge its validity as of this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
}

/// Flags of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The new policy files (TOML), given together
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What 'vouchsafe evidence seen --output json' printed [default: ask the vault]
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
    /// The policy files in force, to try them beside the new ones; with --seen only
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "seen")]
    before: Vec<PathBuf>,
    /// Judge as of this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
}

/// RFC 3339, after 1970.
pub(crate) fn time(text: &str) -> Result<u64, &'static str> {
    let format = &::time::format_description::well_known::Rfc3339;
    ::time::OffsetDateTime::parse(text, format)
        .ok()
        .and_then(|at| u64::try_from(at.unix_timestamp()).ok())
        .ok_or("a time is written as in 2026-12-31T23:59:59Z")
}

/// Runs it. The directory and the vault are looked at only by those that need them.
pub(crate) async fn run(command: PolicyCommand, context: impl Fn() -> Result<Context>) -> Result<Output> {
    match command {
        PolicyCommand::Explain(args) => explain::explained(&args, context),
        PolicyCommand::Floors { files } => floors::run(&files),
        PolicyCommand::ImportCorim(args) => corim::run(&args),
        PolicyCommand::Lint(args) => lint::run(&args),
        PolicyCommand::Plan(args) => plan::run(&args, context).await,
        PolicyCommand::Test(args) => explain::tested(&args, context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339() {
        assert_eq!(time("2026-12-31T00:00:00Z"), Ok(1_798_675_200));
        assert_eq!(time("2026-12-31T01:00:00+01:00"), Ok(1_798_675_200));
        for text in ["", "2026-12-31", "now", "1969-12-31T00:00:00Z"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
