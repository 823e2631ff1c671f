//! What the flags mean.

use core::str::FromStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use vouchsafe_crypto::random;
use vouchsafe_platform::collect::{Candidates, Collected, Machine, Part};
use vouchsafe_platform::sim::{SimConfig, SimPlatform};
use vouchsafe_platform::snp::{SnpConfig, SnpPlatform};
use vouchsafe_platform::tpm::paravisor::{SnpVtpmAttester, SnpVtpmConfig};
use vouchsafe_platform::tpm::{AkSource, TpmConfig, TpmPlatform};
use vouchsafe_platform::{LogPaths, PlatformError};
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::limits::CRL_LEN;

use super::CollectArgs;
use crate::evidence::read_file;
use crate::failure::Problem;

/// Bytes that a nonce may have: enough never to repeat, and never as long as a statement of an introduction.
const NONCE_LEN: std::ops::RangeInclusive<usize> = 8..=64;
/// PCRs of a TPM.
const PCR_COUNT: u8 = 24;
/// PCR that IMA measures into.
const PCR_IMA: u8 = 10;

/// What to collect from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Choice {
    /// The best of what is there: a paravisor, an SEV-SNP guest device, a TPM
    #[default]
    Auto,
    /// A simulated machine
    Sim,
    /// AMD SEV-SNP
    Snp,
    /// AMD SEV-SNP with a paravisor that runs the TPM (Azure)
    SnpVtpm,
    /// A TPM 2.0
    Tpm,
}

/// Which attestation key signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum AkChoice {
    /// The cloud's if there is one, else a new one
    #[default]
    Auto,
    /// A new one, kept nowhere
    Own,
    /// The one that the cloud made and certified (Google, Azure)
    Provided,
}

/// Where the nonce comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    Given(Vec<u8>),
    Random,
}

impl FromStr for Nonce {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "random" {
            return Ok(Self::Random);
        }
        let bytes = hex::decode(text).map_err(|_| "a nonce is 'random' or hexadecimal")?;
        if NONCE_LEN.contains(&bytes.len()) {
            Ok(Self::Given(bytes))
        } else {
            Err("a nonce has 8 to 64 bytes")
        }
    }
}

impl Nonce {
    pub(super) fn bytes(self) -> Result<Vec<u8>> {
        match self {
            Self::Given(bytes) => Ok(bytes),
            Self::Random => {
                let bytes: [u8; 32] = random::array()
                    .map_err(|_| Problem::new("failed", "the kernel's random generator failed"))?;
                Ok(bytes.to_vec())
            }
        }
    }
}

/// PCRs, ascending, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pcrs(pub(super) Vec<u8>);

impl FromStr for Pcrs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "PCRs are a list of numbers from 0 to 23 such as '0,7,11' or '0-15'";
        let number = |text: &str| text.trim().parse::<u8>().ok().filter(|pcr| *pcr < PCR_COUNT).ok_or(wrong);
        let mut pcrs = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((first, last)) => pcrs.extend(number(first)?..=number(last)?),
                None => pcrs.push(number(part)?),
            }
        }
        pcrs.sort_unstable();
        pcrs.dedup();
        if pcrs.is_empty() { Err(wrong) } else { Ok(Self(pcrs)) }
    }
}

impl CollectArgs {
    /// The PCRs to quote; IMA's log needs its own among them.
    pub(super) fn quoted(&self) -> Vec<u8> {
        let mut pcrs = self.pcrs.0.clone();
        if self.with_ima && !pcrs.contains(&PCR_IMA) {
            pcrs.push(PCR_IMA);
            pcrs.sort_unstable();
        }
        pcrs
    }

    /// How each kind of machine is used.
    pub(super) fn candidates(&self) -> Result<Candidates> {
        let vek = self.certificate(&["vcek.der", "vlek.der"])?;
        let intermediate = self.certificate(&["ask.der", "asvk.der"])?;
        let mut tpm = TpmConfig::new(self.tcti.clone());
        let mut snp_vtpm = SnpVtpmConfig::new(self.tcti.clone());
        if let Some(securityfs) = &self.logs {
            let logs = LogPaths::below(securityfs, "tpm0");
            tpm.logs = Some(logs.clone());
            snp_vtpm.logs = Some(logs);
        }
        tpm.ek_chain = self.certificate(&["ek-chain.pem", "ek-chain.der"])?;
        tpm.ak = match self.ak {
            AkChoice::Own => AkSource::Own,
            AkChoice::Provided => AkSource::Provided,
            AkChoice::Auto => AkSource::ProvidedIfAny,
        };
        snp_vtpm.vek.clone_from(&vek);
        snp_vtpm.intermediate.clone_from(&intermediate);
        let crl = self.certificate(&["crl.der"])?;
        let snp = SnpConfig { vek, intermediate, crl, ..SnpConfig::default() };
        Ok(Candidates { snp, snp_vtpm, tpm })
    }

    /// Opens the machine that was asked for.
    pub(super) fn open(&self, candidates: Candidates) -> Result<Machine, PlatformError> {
        let Candidates { snp, snp_vtpm, tpm } = candidates;
        Ok(match self.platform {
            Choice::Sim => {
                let fleet = self.sim_dir.clone().unwrap_or_default();
                let config =
                    SimConfig { image: self.sim_image.clone(), ..SimConfig::new(fleet, &self.sim_machine) };
                Machine::Sim(SimPlatform::open(&config)?)
            }
            Choice::Snp => Machine::Snp(SnpPlatform::open(snp)?),
            Choice::SnpVtpm => {
                let logs = snp_vtpm.logs.clone();
                Machine::SnpVtpm(SnpVtpmAttester::open(snp_vtpm)?, logs)
            }
            Choice::Auto | Choice::Tpm => Machine::Tpm(TpmPlatform::open(tpm)?),
        })
    }

    /// Adds the list of the directory of certificates to a paravisor's report; to a guest's own it is added already.
    pub(super) fn add_revocation_list(&self, collected: &mut Collected) -> Result<()> {
        let (Evidence::SnpVtpm(evidence), Some(path)) =
            (&mut collected.evidence, self.certificate(&["crl.der"])?)
        else {
            return Ok(());
        };
        let list = read_file(&path)?;
        anyhow::ensure!(list.len() <= CRL_LEN, "{} is larger than {CRL_LEN} bytes", path.display());
        evidence.endorsements.crl = Some(list);
        collected.missing.retain(|missing| missing.part != Part::RevocationList);
        Ok(())
    }

    /// The first of these files that is there.
    fn certificate(&self, names: &[&str]) -> Result<Option<PathBuf>> {
        let Some(dir) = &self.certificates else { return Ok(None) };
        let is_dir =
            Path::new(dir).metadata().with_context(|| format!("cannot use {}", dir.display()))?.is_dir();
        anyhow::ensure!(is_dir, "{} is not a directory", dir.display());
        Ok(names.iter().map(|name| dir.join(name)).find(|path| path.exists()))
    }
}
