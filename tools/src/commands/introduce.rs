//! `vouchsafe introduce`: attests this machine and keeps the identity.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use vouchsafe_client::{Expect, Identity, Introduced, Machine, Pin, introduce, renew_identity};
use vouchsafe_platform::PlatformError;
use vouchsafe_platform::sim::{Creation, SimConfig, SimPlatform};
use vouchsafe_platform::snp::{SnpConfig, SnpPlatform};
use vouchsafe_platform::tpm::paravisor::{SnpVtpmAttester, SnpVtpmConfig};
use vouchsafe_platform::tpm::{AkSource, Tcti, TpmConfig, TpmPlatform};
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::id::RoleName;

use super::anchors::AnchorArgs;
use crate::context::{Context, keep_identity, rfc3339};
use crate::failure::Problem;
use crate::output::{Output, warn};
use crate::progress::during;

const EXAMPLES: &str = "\
Examples:
  On this machine's TPM:
    vouchsafe introduce --role billing --platform tpm

  In an SEV-SNP guest, with the identity where a service looks for it:
    vouchsafe introduce --role billing --platform snp --identity-dir /run/billing/identity

  In a confidential machine on Azure, where the vault has the processor's certificate:
    vouchsafe introduce --role billing --platform snp-vtpm

  Without a pin; compare it afterwards with an operator's ('vouchsafe pin show'):
    vouchsafe introduce --role billing --platform tpm --trust-on-first-use --anchor maker=ek-roots.pem,hardware

  Again before the evidence is too old, with the same key, so that sessions and leases go on:
    vouchsafe introduce --role billing --platform tpm --renew

  On a software TPM:
    vouchsafe introduce --role demo --platform tpm --tcti swtpm:host=127.0.0.1,port=2321

The vault is verified against the pin before anything is shown to it.";

/// Flags.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IntroduceArgs {
    /// The role to ask for
    #[arg(long)]
    role: RoleName,
    /// What vouches for this machine
    #[arg(long, value_enum)]
    platform: PlatformChoice,
    /// Where to keep the identity, a directory of mode 0700 [default: DIR/agents/ROLE]
    #[arg(long, value_name = "DIR")]
    identity_dir: Option<PathBuf>,
    /// With the key of the identity that is kept: open sessions go on, and leases that are renewed
    #[arg(long, conflicts_with = "trust_on_first_use")]
    renew: bool,
    /// Take the vault that answers, and pin it; its evidence is verified against the anchors given
    #[arg(long)]
    trust_on_first_use: bool,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    anchors: AnchorArgs,
}

/// Kinds of platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlatformChoice {
    /// A simulated machine: for trying out and for tests
    Sim,
    /// AMD SEV-SNP
    Snp,
    /// AMD SEV-SNP with a paravisor that runs the virtual TPM (Azure)
    SnpVtpm,
    /// A TPM 2.0
    Tpm,
}

/// How to reach this machine's hardware.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "This machine")]
pub(crate) struct MachineArgs {
    /// Which TPM: device:/dev/tpmrm0 or swtpm:host=HOST,port=PORT
    #[arg(long, value_name = "TCTI", default_value = "device:/dev/tpmrm0")]
    tcti: Tcti,
    /// File with certificates of the TPM's endorsement key, if the TPM does not hold them all
    #[arg(long, value_name = "FILE")]
    ek_chain: Option<PathBuf>,
    /// Quote with the attestation key that the cloud made for its virtual TPM and certified
    #[arg(long)]
    cloud_key: bool,
    /// DER of the processor's VCEK, where neither host nor paravisor gives it and the vault does not have it
    #[arg(long, value_name = "FILE")]
    vek: Option<PathBuf>,
    /// DER of the ASK or ASVK that issued it
    #[arg(long, value_name = "FILE")]
    vek_issuer: Option<PathBuf>,
    /// Directory of simulated machines [default: DIR/sim]
    #[arg(long, value_name = "DIR")]
    sim_dir: Option<PathBuf>,
    /// Which simulated machine
    #[arg(long, value_name = "NAME", default_value = "agent")]
    sim_machine: String,
    /// What the simulated machine runs; its measurement follows from this name
    #[arg(long, value_name = "NAME", default_value = "agent")]
    sim_image: String,
}

impl MachineArgs {
    /// Opens the machine; this blocks.
    fn open(&self, platform: PlatformChoice, context: &Context) -> Result<Machine> {
        let opened = match platform {
            PlatformChoice::Sim => self.open_sim(context).map(Machine::new),
            PlatformChoice::Snp => {
                SnpPlatform::open(self.snp_config()).map(Machine::new).map_err(PlatformError::from)
            }
            PlatformChoice::SnpVtpm => SnpVtpmAttester::open(self.snp_vtpm_config()).map(Machine::new),
            PlatformChoice::Tpm => self.open_tpm(context).map(Machine::new),
        };
        let hint = match platform {
            PlatformChoice::Sim => {
                "'vouchsafe dev' and 'vouchsafe-enclave --platform sim' make simulated machines"
            }
            PlatformChoice::Snp => "run this inside an SEV-SNP guest with configfs-tsm or /dev/sev-guest",
            PlatformChoice::SnpVtpm => {
                "run this inside a confidential machine with a paravisor, as a user that may open its TPM"
            }
            PlatformChoice::Tpm => "is there a TPM, and may this user open it? name another with --tcti",
        };
        opened.map_err(|error| {
            anyhow::Error::new(error)
                .context(Problem::new("platform", "this machine cannot attest").hint(hint))
        })
    }

    fn open_sim(&self, context: &Context) -> Result<SimPlatform, PlatformError> {
        let fleet = self.sim_dir.clone().unwrap_or_else(|| context.home.path().join("sim"));
        // A fleet is made with its vault; a machine of it may be new.
        let creation = if fleet.exists() { Creation::IfMissing } else { Creation::Never };
        let config =
            SimConfig { image: self.sim_image.clone(), creation, ..SimConfig::new(fleet, &self.sim_machine) };
        Ok(SimPlatform::open(&config)?)
    }

    fn snp_config(&self) -> SnpConfig {
        SnpConfig { vek: self.vek.clone(), intermediate: self.vek_issuer.clone(), ..SnpConfig::default() }
    }

    fn snp_vtpm_config(&self) -> SnpVtpmConfig {
        SnpVtpmConfig {
            vek: self.vek.clone(),
            intermediate: self.vek_issuer.clone(),
            ..SnpVtpmConfig::new(self.tcti.clone())
        }
    }

    fn open_tpm(&self, context: &Context) -> Result<TpmPlatform, PlatformError> {
        let config = TpmConfig {
            ak_file: Some(context.home.path().join("attestation-key")),
            ek_chain: self.ek_chain.clone(),
            ak: if self.cloud_key { AkSource::Provided } else { AkSource::Own },
            ..TpmConfig::new(self.tcti.clone())
        };
        Ok(TpmPlatform::open(config)?)
    }
}

/// Which vault is believed.
enum Trust {
    /// Whichever answers first, if its evidence leads to these anchors.
    FirstUse(Anchors),
    /// The pinned one.
    Pinned(Box<Pin>),
}

impl Trust {
    fn expect(&self) -> Expect<'_> {
        match self {
            Self::FirstUse(anchors) => Expect::DangerousTrustOnFirstUse { anchors },
            Self::Pinned(pin) => Expect::Pinned(pin),
        }
    }
}

/// Runs it.
pub(crate) async fn run(args: IntroduceArgs, context: &Context) -> Result<Output> {
    context.home.create()?;
    let identity_dir = args.identity_dir.clone().unwrap_or_else(|| context.home.agent_dir(&args.role));
    let first_use = args.trust_on_first_use && !context.home.pin_path().exists();
    let trust = match first_use {
        true => Trust::FirstUse(args.anchors.load()?),
        false => Trust::Pinned(Box::new(context.home.pin()?)),
    };
    let kept = args.renew.then(|| kept(&identity_dir)).transpose()?;
    let machine = args.machine.open(args.platform, context)?;
    let endpoint = context.endpoint();
    let introducing = async {
        match (&kept, &trust) {
            (Some(identity), Trust::Pinned(pin)) => {
                renew_identity(&endpoint, pin, &args.role, &machine, identity).await
            }
            (_, trust) => introduce(&endpoint, trust.expect(), &args.role, &machine).await,
        }
    };
    let introduced =
        during("attesting this machine", introducing).await.context("no identity was granted")?;
    context.home.save_pin(&introduced.pin)?;
    context.home.save_connection(&context.connection)?;
    if let Some(parent) = identity_dir.parent().filter(|parent| parent.starts_with(context.home.path())) {
        crate::home::private_dir(parent)?;
    }
    keep_identity(&introduced, &identity_dir)?;
    if first_use {
        warn("trusted on first use: compare the pin with an operator's ('vouchsafe pin show')")?;
    }
    let Introduced { pin, spiffe_id, not_after_secs, evidence_until_secs, appraisal, receipt, identity: _ } =
        introduced;
    let text = format!(
        "introduced as {spiffe_id}\n\
         appraisal    {appraisal}\n\
         identity     until {}, kept in {}\n\
         evidence     until {}; then introduce again\n\
         logged       as entry {} of the journal",
        rfc3339(not_after_secs),
        identity_dir.display(),
        rfc3339(evidence_until_secs),
        receipt.leaf_index,
    );
    let json = json!({
        "spiffe_id": spiffe_id,
        "role": args.role.as_str(),
        "identity_dir": identity_dir.display().to_string(),
        "not_after_secs": not_after_secs,
        "evidence_until_secs": evidence_until_secs,
        "appraisal": appraisal,
        "receipt": { "leaf_index": receipt.leaf_index },
        "trusted_on_first_use": first_use,
        "renewed": kept.is_some(),
    });
    Ok(Output::new(text, json).about(pin.vault_id))
}

/// The identity whose key is used again.
fn kept(dir: &Path) -> Result<Identity> {
    Identity::load(dir).with_context(|| {
        Problem::new("no-identity", format!("there is no identity in {} to renew", dir.display()))
            .hint("introduce without --renew")
    })
}
