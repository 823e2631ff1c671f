//! The command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use vouchsafe_enclave_runtime::config::{Address, Config, Limits, PcrSelection, Wake};
use vouchsafe_platform::PlatformConfig;
use vouchsafe_platform::sim::{Creation, DEFAULT_IMAGE, SimConfig};
use vouchsafe_platform::snp::SnpConfig;
use vouchsafe_platform::tpm::{Tcti, TpmConfig};

/// What a sealed vault's process is started with.
pub const SEALED_FLAG: &str = "--sealed";

const EXAMPLES: &str = "\
Examples:
  On this machine's TPM, for a host on the same machine:
    vouchsafe-enclave --listen unix:/run/vouchsafe/enclave.sock --platform tpm

  On a software TPM:
    vouchsafe-enclave --listen unix:/tmp/v/enclave.sock --platform tpm --tcti swtpm:host=127.0.0.1,port=2321

  In an SEV-SNP guest, for a host outside of it:
    vouchsafe-enclave --listen vsock:8600 --platform snp

  Simulated, to try things out:
    vouchsafe-enclave --listen unix:/tmp/v/enclave.sock --platform sim --sim-dir /tmp/v/sim

It holds no vault until a host connects (vouchsafe-host --enclave ...) and, the first time, an operator runs
'vouchsafe init'. When it listens it prints one line on standard output: listening {\"link\":\"unix:...\"}.
It stops cleanly on SIGTERM and SIGINT; 'vouchsafe seal' makes it forget every key until it is started again.
Exit code: 0 stopped, 1 failed, 2 wrong usage.";

/// Runs a Vouchsafe vault inside this machine's boundary.
///
/// It opens no network socket: a host that it does not trust connects to it, relays for it and stores for it.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-enclave", version, after_help = EXAMPLES)]
pub struct Options {
    /// Where the host connects: unix:PATH (made with mode 0600) or vsock:PORT.
    #[arg(long, value_name = "ADDR")]
    listen: Address,
    /// What holds the root key and vouches for this vault.
    #[arg(long, value_enum)]
    platform: PlatformChoice,
    /// Directory of the simulated machines; made if missing.
    #[arg(long, value_name = "DIR", required_if_eq("platform", "sim"))]
    sim_dir: Option<PathBuf>,
    /// Which of them this is.
    #[arg(long, value_name = "NAME", default_value = "vault")]
    sim_machine: String,
    /// What it runs; its simulated measurement is of this name.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_IMAGE)]
    sim_image: String,
    /// File with the DER of this chip's VCEK or VLEK, if the hypervisor gives no certificates.
    #[arg(long, value_name = "FILE")]
    vek: Option<PathBuf>,
    /// File with the DER of the certificate that issued it, if it is a VLEK.
    #[arg(long, value_name = "FILE", requires = "vek")]
    intermediate: Option<PathBuf>,
    /// DER of AMD's revocation list, for agents that ask for one; read anew for each piece of evidence.
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// Which TPM: device:PATH or swtpm:host=HOST,port=PORT.
    #[arg(long, value_name = "STR", default_value_t = Tcti::default_device())]
    tcti: Tcti,
    /// PCRs of the SHA-256 bank that the root key is bound to and the vault's quote covers.
    #[arg(long, value_name = "LIST", default_value = "0,2,4,7")]
    pcrs: PcrSelection,
    /// File with certificates of the TPM's endorsement key, if the TPM does not hold them all.
    #[arg(long, value_name = "FILE")]
    ek_chain: Option<PathBuf>,
    /// Introductions and sessions at once.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// How much to say on standard error; never what passes through.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log: LogLevel,
    /// Start sealed: answer that the vault is sealed, and hold no key.
    #[arg(long, hide = true)]
    sealed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlatformChoice {
    /// Simulated SEV-SNP: for trying out and for tests.
    Sim,
    /// AMD SEV-SNP.
    Snp,
    /// A TPM 2.0.
    Tpm,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Every connection.
    Debug,
    /// What cannot go on.
    Error,
    /// What the vault does.
    Info,
    /// What an operator should look at.
    Warn,
}

impl LogLevel {
    /// The name of the level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Error => "error",
            Self::Info => "info",
            Self::Warn => "warn",
        }
    }
}

impl Options {
    /// What to run.
    pub fn into_config(self) -> anyhow::Result<Config> {
        let platform = self.platform_config()?;
        let limits = Limits { connections: usize::try_from(self.max_connections)? };
        let wake = if self.sealed { Wake::Sealed } else { Wake::Serving };
        Ok(Config { listen: self.listen, platform, pcrs: self.pcrs, limits, wake })
    }

    fn platform_config(&self) -> anyhow::Result<PlatformConfig> {
        Ok(match self.platform {
            PlatformChoice::Sim => {
                let fleet = self.sim_dir.clone().context("--platform sim needs --sim-dir DIR")?;
                let (machine, image) = (self.sim_machine.clone(), self.sim_image.clone());
                // Making a machine is safe: what another one sealed does not open on it.
                PlatformConfig::Sim(SimConfig { fleet, machine, image, creation: Creation::IfMissing })
            }
            PlatformChoice::Snp => PlatformConfig::Snp(SnpConfig {
                vek: self.vek.clone(),
                intermediate: self.intermediate.clone(),
                crl: self.crl.clone(),
                ..SnpConfig::default()
            }),
            PlatformChoice::Tpm => PlatformConfig::Tpm(TpmConfig {
                ek_chain: self.ek_chain.clone(),
                seal_pcrs: self.pcrs.indices().to_vec(),
                ..TpmConfig::new(self.tcti.clone())
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const COMPLETE: [&str; 5] = ["vouchsafe-enclave", "--listen", "unix:/e", "--platform", "tpm"];

    #[test]
    fn flags_are_consistent() {
        Options::command().debug_assert();
        Options::try_parse_from(COMPLETE).unwrap();
    }

    #[test]
    fn missing_and_impossible_flags_are_wrong_usage() {
        for wrong in [
            vec!["vouchsafe-enclave"],
            vec!["vouchsafe-enclave", "--listen", "unix:/e"],
            vec!["vouchsafe-enclave", "--listen", "unix:/e", "--platform", "sim"],
            vec!["vouchsafe-enclave", "--listen", "tcp:1", "--platform", "tpm"],
            [COMPLETE.as_slice(), &["--pcrs", "24"]].concat(),
            [COMPLETE.as_slice(), &["--max-connections", "0"]].concat(),
        ] {
            assert_eq!(Options::try_parse_from(&wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
