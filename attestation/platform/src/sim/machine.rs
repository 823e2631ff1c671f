//! One machine's directory: its chip, its secret and its counter.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::{Key32, SecretBytes};
use vouchsafe_protocol::evidence::SnpEvidence;
use vouchsafe_protocol::policy::{LaunchDigest, Product, Tcb};
use vouchsafe_simulation::{ChipFiles, SimulatedChip, SimulatedPki, SimulationError, VekSpec};
use zeroize::Zeroizing;

use super::SimError;
use super::fleet::{self, read, write};
use crate::files;

pub(super) struct Machine {
    fleet: PathBuf,
    dir: PathBuf,
    chip: SimulatedChip,
    secret: Key32,
}

/// Makes a machine under a temporary name, so that one with its name is complete.
pub(super) fn create(pki: &SimulatedPki, product: Product, dir: &Path) -> Result<(), SimError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        |source| SimError::File { path, source }
    };
    let no_randomness = |_| SimError::Simulation(SimulationError::Random);
    let unfinished = dir.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(file(&unfinished))?;
    }
    files::create_private_dir(&unfinished).map_err(file(&unfinished))?;

    let spec = VekSpec::vcek(product, tcb(product), random::array().map_err(no_randomness)?);
    let chip = pki.chip(&spec).map_err(SimError::Simulation)?;
    let ChipFiles { ark: _, ask: _, vcek, key } = chip.to_files();
    write(&unfinished.join("vcek.der"), &vcek)?;
    write(&unfinished.join("chip-key.pk8"), key.expose_secret())?;
    write(&unfinished.join("chip-secret"), random::key().map_err(no_randomness)?.expose_secret())?;
    write(&unfinished.join("counter"), &0u64.to_be_bytes())?;
    fs::rename(&unfinished, dir).map_err(file(dir))
}

/// An ordinary TCB, the same for all machines.
fn tcb(product: Product) -> Tcb {
    let fmc = u8::from(product == Product::Turin);
    Tcb { fmc, boot_loader: 9, tee: 0, snp: 23, microcode: 72 }
}

impl Machine {
    pub(super) fn open(fleet: &Path, dir: &Path) -> Result<Self, SimError> {
        fleet::check_mode(dir)?;
        let files = ChipFiles {
            ark: read(&fleet.join("ark.der"))?,
            ask: read(&fleet.join("ask.der"))?,
            vcek: read(&dir.join("vcek.der"))?,
            key: SecretBytes::new(read(&dir.join("chip-key.pk8"))?),
        };
        let chip = SimulatedChip::from_files(files).map_err(SimError::Simulation)?;
        let path = dir.join("chip-secret");
        let mut secret = Zeroizing::new(read(&path)?);
        let secret = Key32::take(&mut secret).ok_or(SimError::Damaged { path })?;
        Ok(Self { fleet: fleet.to_owned(), dir: dir.to_owned(), chip, secret })
    }

    pub(super) fn chip(&self) -> &SimulatedChip {
        &self.chip
    }

    /// A report over 64 bytes, with everything that endorses it.
    pub(super) fn attest(
        &self,
        measurement: LaunchDigest,
        report_data: &[u8; 64],
    ) -> Result<SnpEvidence, SimError> {
        let mut evidence = self.chip.attest(measurement, report_data).map_err(SimError::Simulation)?;
        evidence.endorsements.crl = Some(fleet::revocation_list(&self.fleet)?);
        Ok(evidence)
    }

    pub(super) fn secret(&self) -> &Key32 {
        &self.secret
    }

    pub(super) fn counter(&self) -> Result<u64, SimError> {
        let path = self.dir.join("counter");
        let bytes = read(&path)?;
        Ok(u64::from_be_bytes(bytes.as_slice().try_into().map_err(|_| SimError::Damaged { path })?))
    }

    /// Counts one, alone: a second process on the same machine waits.
    pub(super) fn increment(&self) -> Result<u64, SimError> {
        let file = |source| SimError::File { path: self.dir.clone(), source };
        let lock = File::open(&self.dir).map_err(file)?;
        lock.lock().map_err(file)?;
        let path = self.dir.join("counter");
        let next = self.counter()?.checked_add(1).ok_or(SimError::Damaged { path: path.clone() })?;
        write(&path, &next.to_be_bytes())?;
        Ok(next)
    }
}
