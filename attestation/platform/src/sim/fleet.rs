//! The fleet's directory: one test PKI for all its machines.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{CrlSpec, PkiFiles, SimulatedPki};

use super::SimError;
use crate::files;

/// Largest file of a fleet in bytes: an RSA key in PKCS#8 is under 4 KiB.
const FILE_LEN: usize = 16 * 1024;
/// Age at which a revocation list is made anew.
const LIST_AGE: Duration = Duration::from_secs(12 * 60 * 60);
/// How far clocks of verifiers may be behind.
const SKEW_SECS: u64 = 300;

pub(super) fn machine_dir(fleet: &Path, name: &str) -> Result<PathBuf, SimError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(SimError::Name);
    }
    Ok(fleet.join("machines").join(name))
}

pub(super) fn check_mode(dir: &Path) -> Result<(), SimError> {
    let mode = files::mode(dir).map_err(|source| missing_or(dir, source))?;
    if mode & 0o077 != 0 {
        return Err(SimError::Mode { path: dir.to_owned(), mode });
    }
    Ok(())
}

pub(super) fn open(fleet: &Path) -> Result<SimulatedPki, SimError> {
    check_mode(fleet)?;
    let product = fleet.join("product");
    let product = match read(&product)?.as_slice() {
        b"milan" => Product::Milan,
        b"genoa" => Product::Genoa,
        b"turin" => Product::Turin,
        _ => return Err(SimError::Damaged { path: product }),
    };
    let files = PkiFiles {
        ark: read(&fleet.join("ark.der"))?,
        ask: read(&fleet.join("ask.der"))?,
        asvk: read(&fleet.join("asvk.der"))?,
        ark_key: SecretBytes::new(read(&fleet.join("ark-key.pk8"))?),
        ask_key: SecretBytes::new(read(&fleet.join("ask-key.pk8"))?),
    };
    SimulatedPki::from_files(product, files).map_err(SimError::Simulation)
}

/// The file `product` is written last: a fleet without it was never finished and is made anew.
pub(super) fn open_or_create(fleet: &Path, product: Product) -> Result<SimulatedPki, SimError> {
    if fleet.join("product").exists() {
        return open(fleet);
    }
    files::create_private_dir(fleet).map_err(|source| SimError::File { path: fleet.to_owned(), source })?;
    check_mode(fleet)?;
    let pki = SimulatedPki::generate(product).map_err(SimError::Simulation)?;
    let PkiFiles { ark, ask, asvk, ark_key, ask_key } = pki.to_files().map_err(SimError::Simulation)?;
    let name: &[u8] = match product {
        Product::Milan => b"milan",
        Product::Genoa => b"genoa",
        Product::Turin => b"turin",
    };
    write(&fleet.join("ark.der"), &ark)?;
    write(&fleet.join("ask.der"), &ask)?;
    write(&fleet.join("asvk.der"), &asvk)?;
    write(&fleet.join("ark-key.pk8"), ark_key.expose_secret())?;
    write(&fleet.join("ask-key.pk8"), ask_key.expose_secret())?;
    write(&fleet.join("product"), name)?;
    Ok(pki)
}

/// A revocation list of the fleet's root, less than a day old; what AMD's service does for real chips. It is kept in the
/// fleet's directory, and made anew by whoever finds it old.
pub(super) fn revocation_list(fleet: &Path) -> Result<Vec<u8>, SimError> {
    let path = fleet.join("crl.der");
    let is_young = || {
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age < LIST_AGE))
    };
    if is_young() {
        return read(&path);
    }
    let file = |source| SimError::File { path: fleet.to_owned(), source };
    let lock = File::open(fleet).map_err(file)?;
    lock.lock().map_err(file)?;
    if is_young() {
        return read(&path);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "this stands in for hardware and AMD's service: no port is below it"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let list =
        open(fleet)?.crl(&CrlSpec::fresh(now.saturating_sub(SKEW_SECS))).map_err(SimError::Simulation)?;
    write(&path, &list)?;
    Ok(list)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, SimError> {
    files::read(path, FILE_LEN).map_err(|source| missing_or(path, source))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), SimError> {
    files::replace(path, bytes).map_err(|source| SimError::File { path: path.to_owned(), source })
}

fn missing_or(path: &Path, source: std::io::Error) -> SimError {
    match source.kind() {
        std::io::ErrorKind::NotFound => SimError::NoMachine { path: path.to_owned() },
        _ => SimError::File { path: path.to_owned(), source },
    }
}
