//! `evidence collect`: everything that this machine can show, as a bundle to look at elsewhere.

mod arguments;
mod bundle;
mod kds;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fs::DirBuilder;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use vouchsafe_attestation::statement::collection;
use vouchsafe_evidence::Suite;
use vouchsafe_platform::collect::{Machine, Missing, NothingFound, Request, Weight};
use vouchsafe_platform::tpm::Tcti;
use vouchsafe_platform::{PlatformError, collect};

use self::arguments::{AkChoice, Choice, Nonce, Pcrs};
use self::bundle::{Context as BundleContext, Part};
use super::time_or_now;
use crate::context::rfc3339;
use crate::failure::Problem;

/// Exit code: some of what a verifier needs is missing.
const PARTIAL: u8 = 3;
/// Exit code: there is nothing to collect from, or nothing usable came of it.
const NOTHING: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  Whatever this machine is, over a nonce of its own:
    sudo vouchsafe evidence collect ./bundle

  A TPM with everything that explains PCRs 0, 7 and 10, over a verifier's nonce:
    sudo vouchsafe evidence collect ./bundle --platform tpm --pcrs 0,7,10 --with-ima --nonce 9f3c6a1e...

  Look at it, and check it; a role is tried on a bundle with exactly the PCRs that the role names:
    vouchsafe evidence inspect ./bundle
    vouchsafe evidence check ./bundle
    vouchsafe policy test billing.toml --role billing --evidence ./bundle

What a bundle holds: no secret and no private key. It does name this machine: the chip id and the certificates of its
keys are unique to it, the logs list what it booted and, with --with-ima, every program it ran. Give it to those
who may know.

What it is over: SHA-256 (a quote) or SHA-512 (a report) of \"vouchsafe/1/collection\", the length of the nonce
as four bytes, and the nonce; cases.json states the result. No nonce makes it an introduction to a vault.

Exit codes: 0 all was collected, 2 nothing was, 3 some of what a verifier needs is missing.";

/// Flags of `vouchsafe evidence collect`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CollectArgs {
    /// Directory to make; it must not be there yet
    #[arg(value_name = "DIR")]
    bundle: PathBuf,
    /// What to collect from
    #[arg(long, value_enum, default_value_t)]
    platform: Choice,
    /// Nonce of the verifier, 8 to 64 bytes in hexadecimal, or 'random'
    #[arg(long, value_name = "HEX", default_value = "random")]
    nonce: Nonce,
    /// PCRs to quote, of the SHA-256 bank: '0,7,11' or '0-15'
    #[arg(long, value_name = "LIST", default_value = "0-15")]
    pcrs: Pcrs,
    /// Collect the log of Linux's integrity measurement architecture, too; PCR 10 is then quoted
    #[arg(long)]
    with_ima: bool,
    /// Directory with what the machine itself does not hold: vcek.der or vlek.der, ask.der or asvk.der, crl.der,
    /// ek-chain.pem
    #[arg(long, value_name = "DIR")]
    certificates: Option<PathBuf>,
    /// Which TPM: device:/dev/tpmrm0 or swtpm:host=HOST,port=PORT
    #[arg(long, value_name = "TCTI", default_value = "device:/dev/tpmrm0")]
    tcti: Tcti,
    /// Which attestation key of a TPM signs the quote
    #[arg(long, value_enum, default_value_t)]
    ak: AkChoice,
    /// Directory below which the kernel shows its logs [default: /sys/kernel/security]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Directory of simulated machines
    #[arg(long, value_name = "DIR", required_if_eq("platform", "sim"))]
    sim_dir: Option<PathBuf>,
    /// Which simulated machine
    #[arg(long, value_name = "NAME", default_value = "agent")]
    sim_machine: String,
    /// What the simulated machine runs
    #[arg(long, value_name = "NAME", default_value = "agent")]
    sim_image: String,
}

/// What came of it.
pub(super) struct Report {
    bundle: PathBuf,
    kind: String,
    simulated: bool,
    nonce: Vec<u8>,
    found: Vec<Part>,
    missing: Vec<Missing>,
    hints: kds::Hints,
}

impl CollectArgs {
    /// Collects, and writes the bundle.
    ///
    /// # Errors
    /// Nothing could be collected, or the bundle cannot be written.
    pub(super) fn collect(self) -> Result<Report> {
        refuse_existing(&self.bundle)?;
        let nonce = self.nonce.clone().bytes()?;
        let pcrs = self.quoted();
        let statement = collection(&nonce);
        let mut machine = self.machine()?;
        let request = Request { statement: &statement, pcrs: &pcrs, ima: self.with_ima };
        let mut collected = machine.collect(request).map_err(unusable)?;
        self.add_revocation_list(&mut collected)?;
        let at = rfc3339(u64::try_from(time_or_now(None)?)?);
        let hints = kds::Hints::of(&collected.evidence);
        let simulated = collected.simulated_root.is_some();
        let missing = std::mem::take(&mut collected.missing);
        let context = BundleContext { at, nonce: &nonce, statement: &statement };
        let (suite, found) = bundle::suite(collected, context)?;
        let kind = suite.document.cases.first().map(|case| case.kind.clone()).unwrap_or_default();
        write_new(&suite, &self.bundle)?;
        Ok(Report { bundle: self.bundle, kind, simulated, nonce, found, missing, hints })
    }
}

impl Report {
    fn is_complete(&self) -> bool {
        self.missing.iter().all(|missing| missing.weight() == Weight::Optional)
    }

    /// 0 all was collected, 3 something that a verifier needs is missing.
    pub(super) fn exit_code(&self) -> u8 {
        if self.is_complete() { 0 } else { PARTIAL }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let found =
            self.found.iter().map(|part| json!({ "part": part.name, "bytes": part.len, "what": part.what }));
        let missing = self.missing.iter().map(|missing| {
            json!({
                "part": missing.part.to_string(),
                "needed": missing.weight() == Weight::Needed,
                "reason": reason(missing),
                "hint": self.hints.hint(missing),
            })
        });
        json!({
            "bundle": self.bundle.display().to_string(),
            "kind": self.kind,
            "simulated": self.simulated,
            "nonce": hex::encode(&self.nonce),
            "complete": self.is_complete(),
            "found": found.collect::<Vec<_>>(),
            "missing": missing.collect::<Vec<_>>(),
        })
    }

    /// For people.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let simulated = if self.simulated { " of a SIMULATED machine" } else { "" };
        writeln!(out, "collected a bundle of kind {}{simulated} in {}", self.kind, self.bundle.display())?;
        writeln!(out, "nonce    {}", hex::encode(&self.nonce))?;
        for part in &self.found {
            writeln!(out, "found    {:<14} {:>7} bytes  {}", part.name, part.len, part.what)?;
        }
        for missing in &self.missing {
            let mark = match missing.weight() {
                Weight::Needed => "MISSING ",
                Weight::Optional => "not given",
            };
            writeln!(out, "{mark:<8} {}: {}", missing.part, reason(missing))?;
            let hint = self.hints.hint(missing);
            if !hint.is_empty() {
                writeln!(out, "         what to do: {hint}")?;
            }
        }
        writeln!(out, "look at it with 'vouchsafe evidence inspect {}'", self.bundle.display())
    }
}

/// Why a part is missing, with all causes in one line.
fn reason(missing: &Missing) -> String {
    let Some(cause) = &missing.cause else { return "this machine does not give it".to_owned() };
    // Which log it is has been said.
    let (mut text, mut source) = match cause {
        PlatformError::Log(log) => (log.path.display().to_string(), Some(&log.fault as &dyn Error)),
        _ => (cause.to_string(), cause.source()),
    };
    while let Some(next) = source {
        text = format!("{text}: {next}");
        source = next.source();
    }
    text
}

fn refuse_existing(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot use {}", path.display())),
        Ok(_) => Err(exists(path)),
    }
}

fn exists(path: &Path) -> anyhow::Error {
    let message = format!("{} is there already, and a bundle is never written over", path.display());
    Problem::new("exists", message).hint("name another directory").exit(NOTHING).into()
}

/// The directory is made here, in one step that fails if it is there.
fn write_new(suite: &Suite, dir: &Path) -> Result<()> {
    match DirBuilder::new().create(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(dir)),
        made => made.with_context(|| format!("cannot make {}", dir.display()))?,
    }
    suite.write(dir).with_context(|| format!("the bundle {} is not complete", dir.display()))
}

/// There is a machine, but neither a report nor a quote.
fn unusable(error: PlatformError) -> anyhow::Error {
    let hint = "run as root, or as a member of the group of the TPM's device (often 'tss'); is another program using the \
                TPM?";
    let problem = Problem::new("platform", "nothing was collected").hint(hint).exit(NOTHING);
    anyhow::Error::new(error).context(problem)
}

fn nothing(error: NothingFound) -> anyhow::Error {
    let hint = if error.is_denied() {
        "run as root, or as a member of the group of the device (for a TPM often 'tss')"
    } else {
        "run this on an SEV-SNP guest or a machine with a TPM, as root; name a TPM with --tcti"
    };
    let problem = Problem::new("nothing-found", "this machine shows no evidence").hint(hint).exit(NOTHING);
    anyhow::Error::new(error).context(problem)
}

impl CollectArgs {
    /// Opens what to collect from; this blocks.
    fn machine(&self) -> Result<Machine> {
        let candidates = self.candidates()?;
        match self.platform {
            Choice::Auto => collect::detect(candidates).map_err(nothing),
            Choice::Sim | Choice::Snp | Choice::SnpVtpm | Choice::Tpm => {
                self.open(candidates).map_err(unusable)
            }
        }
    }
}
