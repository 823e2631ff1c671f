//! The `sim` platform: a directory that stands in for hardware.
//!
//! Trusted for: nothing outside a simulated vault. Whoever reads the directory has the machine's keys; its mode
//! 0700 keeps other users out. Its evidence is in the real format and goes through the real verifier.
//!
//! A fleet directory holds one test PKI and any number of machines, each with a chip of its own: a vault and its
//! agents are then different machines under one root.
//!
//! ```text
//! FLEET/product ark.der ask.der asvk.der crl.der ark-key.pk8 ask-key.pk8
//! FLEET/machines/NAME/vcek.der chip-key.pk8 chip-secret counter
//! ```

mod fleet;
mod machine;

use std::io;
use std::path::{Path, PathBuf};

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::{digest, random};
use vouchsafe_protocol::anchors::SimulatedRoot;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::policy::{ChipId, LaunchDigest, Product};
use vouchsafe_simulation::SimulationError;

use self::machine::Machine;
use crate::entropy::BLOCK_LEN;
use crate::sealed::{self, SealedBody, SealedError, SimBinding};
use crate::{Attester, EntropyWatch, Platform, PlatformError, PlatformKind, machine_seal};

/// Purpose of the key that seals root keys.
const SEAL_LABEL: &str = "vouchsafe/1/simulated-seal";
/// Domain of simulated launch digests.
const MEASUREMENT_TAG: &str = "vouchsafe/1/simulated-measurement";
/// What a simulated machine runs unless told otherwise.
pub const DEFAULT_IMAGE: &str = "vouchsafe-enclave";

/// Whether what is not there may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Make the fleet and the machine if they are not there.
    IfMissing,
    /// A machine that is not there is an error: an established vault or agent never comes up on a new one.
    Never,
}

/// How to use a simulated machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimConfig {
    /// The fleet's directory.
    pub fleet: PathBuf,
    /// The machine's name: 1 to 64 characters of a-z, 0-9 and '-'.
    pub machine: String,
    /// Name of what the machine runs; its launch digest is [`measurement`] of it.
    pub image: String,
    /// Whether to make what is not there.
    pub creation: Creation,
}

impl SimConfig {
    /// An existing machine that runs [`DEFAULT_IMAGE`].
    #[must_use]
    pub fn new(fleet: PathBuf, machine: &str) -> Self {
        Self {
            fleet,
            machine: machine.to_owned(),
            image: DEFAULT_IMAGE.to_owned(),
            creation: Creation::Never,
        }
    }
}

/// The launch digest of a simulated image: `SHA-384("vouchsafe/1/simulated-measurement" || LV(name))`.
#[must_use]
pub fn measurement(image: &str) -> LaunchDigest {
    LaunchDigest(digest::sha384(&[&digest::preimage(MEASUREMENT_TAG, &[image.as_bytes()])]))
}

/// The root of a fleet, for the anchors of a simulated vault.
///
/// # Errors
/// [`SimError`] when there is no fleet.
pub fn fleet_root(fleet: &Path) -> Result<SimulatedRoot, SimError> {
    Ok(fleet::open(fleet)?.root())
}

/// Product that simulated chips are of.
const PRODUCT: Product = Product::Genoa;

/// Why a simulated machine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The sealed bytes do not open although machine and image are the same.
    #[error("the sealed root key was changed: it does not open on the machine that sealed it")]
    Altered,
    /// A file of the machine is damaged.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Others may enter the directory.
    #[error("{path} has mode {mode:o}; it stands in for hardware and must have mode 700")]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A machine's name that cannot be a file's.
    #[error("a simulated machine's name is 1 to 64 characters of a-z, 0-9 and '-'")]
    Name,
    /// There is no such machine.
    #[error("no simulated machine at {path}; name the directory of an existing one, or create it")]
    NoMachine {
        /// Its directory.
        path: PathBuf,
    },
    /// Sealed on another machine.
    #[error("the root key was sealed on another simulated machine")]
    OtherMachine,
    /// Sealed under another image.
    #[error("the root key was sealed by other code: the simulated machine's measurement differs")]
    OtherMeasurement,
    /// The simulation itself failed.
    #[error("the simulation failed")]
    Simulation(#[source] SimulationError),
}

/// A simulated machine.
pub struct SimPlatform {
    machine: Machine,
    measurement: LaunchDigest,
    sealed: bool,
    watch: EntropyWatch,
}

impl SimPlatform {
    /// Opens a machine, and makes it first when the settings say so.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn open(config: &SimConfig) -> Result<Self, SimError> {
        let path = fleet::machine_dir(&config.fleet, &config.machine)?;
        if config.creation == Creation::IfMissing && !path.exists() {
            let pki = fleet::open_or_create(&config.fleet, PRODUCT)?;
            machine::create(&pki, PRODUCT, &path)?;
        }
        fleet::check_mode(&config.fleet)?;
        let machine = Machine::open(&config.fleet, &path)?;
        let measurement = measurement(&config.image);
        Ok(Self { machine, measurement, sealed: false, watch: EntropyWatch::default() })
    }

    /// The root that vouches for this machine.
    #[must_use]
    pub fn root(&self) -> SimulatedRoot {
        self.machine.chip().root()
    }

    /// Its chip id.
    #[must_use]
    pub fn chip_id(&self) -> ChipId {
        ChipId(*self.machine.chip().chip_id())
    }

    /// What its reports say is running.
    #[must_use]
    pub fn measurement(&self) -> LaunchDigest {
        self.measurement
    }

    fn binding(&self) -> SimBinding {
        SimBinding {
            chip: digest::sha256(&[self.machine.chip().chip_id()]),
            measurement: digest::sha256(&[&self.measurement.0]),
        }
    }

    /// The machine key: chip secret and measurement, as the chip mixes them in for SNP.
    fn sealing_key(&self) -> Key32 {
        digest::hkdf_sha256(
            self.machine.secret(),
            &self.measurement.0,
            &[b"vouchsafe/1/simulated-machine-key"],
        )
    }
}

impl Attester for SimPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Sim
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        _: &[u8],
        _: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        Ok(Evidence::Snp(self.machine.attest(self.measurement, &statement.snp_report_data())?))
    }
}

impl Platform for SimPlatform {
    fn seal(&mut self, root: &Key32) -> Result<Vec<u8>, PlatformError> {
        let sealed = machine_seal::seal(&self.sealing_key(), SEAL_LABEL, self.binding(), root)?;
        self.sealed = true;
        Ok(sealed::encode(SealedBody::Sim(sealed))?)
    }

    fn unseal(&mut self, sealed: &[u8]) -> Result<Key32, PlatformError> {
        let SealedBody::Sim(sealed) = sealed::decode(sealed)?.body else {
            return Err(SealedError::OtherKind.into());
        };
        let SimBinding { chip, measurement } = self.binding();
        // 1. The same machine. 2. The same code. Both only name the reason; the key decides.
        if sealed.binding.chip != chip {
            return Err(SimError::OtherMachine.into());
        }
        if sealed.binding.measurement != measurement {
            return Err(SimError::OtherMeasurement.into());
        }
        // 3. The machine's key opens it.
        let root = machine_seal::open(&self.sealing_key(), SEAL_LABEL, &sealed)?;
        let root = root.map_err(|machine_seal::DoesNotOpen| SimError::Altered)?;
        self.sealed = true;
        Ok(root)
    }

    fn counter(&mut self) -> Result<Option<u64>, PlatformError> {
        if !self.sealed {
            return Err(PlatformError::NotUnsealed);
        }
        Ok(Some(self.machine.counter()?))
    }

    fn increment(&mut self) -> Result<u64, PlatformError> {
        if !self.sealed {
            return Err(PlatformError::NotUnsealed);
        }
        Ok(self.machine.increment()?)
    }

    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        for part in out.chunks_mut(BLOCK_LEN) {
            let block: [u8; BLOCK_LEN] = random::array().map_err(|_| PlatformError::NoRandomness)?;
            self.watch.accept(&block)?;
            for (to, from) in part.iter_mut().zip(block) {
                *to = from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
