//! The `tpm` platform: a TPM 2.0, real or virtual, through libtss2.
//!
//! Who controls the way to it: the host (T14, T17). See `connection` for what is believed and why. Who is
//! trusted: the TPM itself, and that it is this machine's; a virtual TPM is its operator's.

mod ak_file;
mod connection;
mod counter;
mod ek;
mod error;
mod key;
mod nv;
pub mod paravisor;
mod pcr;
mod provided;
mod quote;
mod seal;
mod tcti;

use std::path::PathBuf;

use tss_esapi::handles::KeyHandle;
use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::evidence::{AkProof, CredentialBlob, Evidence, Logs, TpmEvidence, TpmKeys};
use vouchsafe_protocol::introduction::LogsWanted;

use self::ak_file::AttestationKey;
use self::connection::{Connection, Encrypt};
use self::counter::Counter;
use self::ek::Endorsement;
use self::pcr::Selection;
use crate::entropy::BLOCK_LEN;
use crate::logs::{Log, LogError, LogPaths};
use crate::sealed::{self, SealedBody, SealedError};
use crate::{Attester, EntropyWatch, Platform, PlatformError, PlatformKind};

pub use self::error::{ChangedPcrs, ConnectError, CounterFault, KeysError, TpmError, UnsealError};
pub use self::pcr::Bank;
pub use self::tcti::{Tcti, TctiError};

/// PCRs that a vault's root key is bound to unless configured otherwise: firmware (0), option ROMs (2), boot
/// loader (4) and Secure Boot state (7).
pub const SEAL_PCRS: [u8; 4] = [0, 2, 4, 7];

/// How to use a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmConfig {
    /// Where it is.
    pub tcti: Tcti,
    /// File that keeps the attestation key of an agent. A vault needs none: its sealed root holds the key.
    pub ak_file: Option<PathBuf>,
    /// File with EK certificates (PEM, or one DER): the chain above the TPM's own certificate, or a whole chain
    /// for a TPM that holds none.
    pub ek_chain: Option<PathBuf>,
    /// Which attestation key an agent quotes with. A vault's is always its own.
    pub ak: AkSource,
    /// Where the kernel's logs of this TPM are; `None` for a TPM that is not this machine's.
    pub logs: Option<LogPaths>,
    /// PCRs of the SHA-256 bank that the root key is bound to, ascending.
    pub seal_pcrs: Vec<u8>,
}

impl TpmConfig {
    /// The usual settings for a TPM.
    #[must_use]
    pub fn new(tcti: Tcti) -> Self {
        let logs = tcti.device().map(LogPaths::of_device);
        let ak = AkSource::Own;
        Self { tcti, ak_file: None, ek_chain: None, ak, logs, seal_pcrs: SEAL_PCRS.to_vec() }
    }
}

/// Where an agent's attestation key comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AkSource {
    /// Made under the storage root key; a verifier proves by the endorsement key that it is the TPM's.
    #[default]
    Own,
    /// Made by the cloud that the TPM is of, and certified by it.
    Provided,
    /// The cloud's where there is one, else an own one.
    ProvidedIfAny,
}

/// A loaded attestation key.
struct LoadedKey {
    handle: KeyHandle,
    /// `TPMT_PUBLIC`.
    public: Vec<u8>,
}

/// A machine with a TPM.
pub struct TpmPlatform {
    config: TpmConfig,
    seal_pcrs: Selection,
    ak: Option<AttestationKey>,
    counter: Option<Counter>,
    endorsement: Option<Endorsement>,
    watch: EntropyWatch,
}

impl TpmPlatform {
    /// Checks the settings and that the TPM answers.
    ///
    /// # Errors
    /// [`TpmError`], above all [`ConnectError`].
    pub fn open(config: TpmConfig) -> Result<Self, TpmError> {
        let seal_pcrs = Selection::new(&config.seal_pcrs)?;
        let ak = config.ak_file.as_deref().map(ak_file::read).transpose()?.flatten();
        let connection = Connection::open(&config.tcti)?;
        if ak.as_ref().is_some_and(|ak| ak.srk != connection.srk_name()) {
            return Err(KeysError::AkOfOtherTpm.into());
        }
        drop(connection);
        Ok(Self { config, seal_pcrs, ak, counter: None, endorsement: None, watch: EntropyWatch::default() })
    }

    fn connect(&self) -> Result<Connection, TpmError> {
        Connection::open(&self.config.tcti)
    }

    /// The attestation key: the one on record, else a new one that is put on record.
    fn attestation_key(&mut self, connection: &mut Connection) -> Result<AttestationKey, TpmError> {
        if let Some(ak) = &self.ak {
            if ak.srk != connection.srk_name() {
                return Err(KeysError::AkOfOtherTpm.into());
            }
            return Ok(ak.clone());
        }
        let ak =
            AttestationKey { srk: connection.srk_name(), blob: key::create_attestation_key(connection)? };
        if let Some(path) = &self.config.ak_file {
            ak_file::write(path, &ak)?;
        }
        Ok(self.ak.insert(ak).clone())
    }

    fn load_attestation_key(&mut self, connection: &mut Connection) -> Result<LoadedKey, TpmError> {
        match self.ak_source(connection)? {
            AkSource::Own | AkSource::ProvidedIfAny => {
                let ak = self.attestation_key(connection)?;
                Ok(LoadedKey { handle: key::load(connection, &ak.blob)?, public: ak.blob.public })
            }
            AkSource::Provided => {
                let key = provided::load(connection)?;
                Ok(LoadedKey { handle: key.handle, public: key.public })
            }
        }
    }

    /// [`AkSource::Own`] or [`AkSource::Provided`].
    fn ak_source(&self, connection: &mut Connection) -> Result<AkSource, TpmError> {
        Ok(match self.config.ak {
            AkSource::ProvidedIfAny if provided::exists(connection)? => AkSource::Provided,
            AkSource::Own | AkSource::ProvidedIfAny => AkSource::Own,
            AkSource::Provided => AkSource::Provided,
        })
    }

    /// Whether a cloud provided this TPM with an attestation key: [`AkSource::Provided`] can be used.
    ///
    /// # Errors
    /// [`TpmError`] when the TPM cannot be reached.
    pub fn has_provided_key(&mut self) -> Result<bool, TpmError> {
        provided::exists(&mut self.connect()?)
    }

    /// What the TPM says that each of its banks holds of these PCRs. Nothing vouches for it.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn banks(&mut self, pcrs: &[u8]) -> Result<Vec<Bank>, TpmError> {
        let selection = Selection::new(pcrs)?;
        pcr::banks(&mut self.connect()?, &selection)
    }

    /// A quote over a statement, without logs.
    pub(crate) fn quote(
        &mut self,
        statement: &StatementPreimage,
        pcrs: &[u8],
    ) -> Result<TpmEvidence, TpmError> {
        let selection = Selection::new(pcrs)?;
        let mut connection = self.connect()?;
        let ak = self.load_attestation_key(&mut connection)?;
        quote::quote(&mut connection, ak.handle, &ak.public, statement.tpm_qualifying_data(), &selection)
    }

    fn endorsement(&mut self, connection: &mut Connection) -> Result<Endorsement, TpmError> {
        if let Some(endorsement) = &self.endorsement {
            return Ok(endorsement.clone());
        }
        let found = ek::endorsement(connection, self.config.ek_chain.as_deref())?;
        Ok(self.endorsement.insert(found).clone())
    }

    /// Where the logs of this TPM are.
    pub(crate) fn log_paths(&self) -> Option<&LogPaths> {
        self.config.logs.as_ref()
    }
}

impl Attester for TpmPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Tpm
    }

    fn tpm_keys(&mut self) -> Result<Option<TpmKeys>, PlatformError> {
        let mut connection = self.connect()?;
        if self.ak_source(&mut connection)? == AkSource::Provided {
            let key = provided::load(&mut connection)?;
            let proof = AkProof::Certificate { ak_chain: vec![key.certificate] };
            return Ok(Some(TpmKeys { ak_public: key.public, proof }));
        }
        let ak = self.attestation_key(&mut connection)?;
        let endorsement = self.endorsement(&mut connection)?;
        let (_, ek_public) = ek::load(&mut connection, endorsement.kind)?;
        Ok(Some(TpmKeys {
            ak_public: ak.blob.public,
            proof: AkProof::Credential { ek_chain: endorsement.chain, ek_public: key::marshal(&ek_public)? },
        }))
    }

    fn activate(&mut self, blob: &CredentialBlob) -> Result<Key32, PlatformError> {
        let mut connection = self.connect()?;
        let kind = self.endorsement(&mut connection)?.kind;
        let ak = self.load_attestation_key(&mut connection)?;
        Ok(ek::activate(&mut connection, ak.handle, kind, blob)?)
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        pcrs: &[u8],
        logs: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        let mut evidence = self.quote(statement, pcrs)?;
        // After quoting: see `LogPaths::read_ima`.
        evidence.logs = match self.log_paths() {
            Some(paths) => paths.read_wanted(logs, &evidence.pcrs)?,
            None if logs == LogsWanted::default() => Logs::default(),
            None => return Err(LogError::other_tpm(if logs.boot { Log::Boot } else { Log::Ima }).into()),
        };
        Ok(Evidence::Tpm(evidence))
    }
}

impl Platform for TpmPlatform {
    fn seal(&mut self, root: &Key32) -> Result<Vec<u8>, PlatformError> {
        let mut connection = self.connect()?;
        let ak = self.attestation_key(&mut connection)?;
        let counter = match self.counter.take() {
            Some(counter) => counter,
            None => {
                let auth = random::key().map_err(|_| PlatformError::NoRandomness)?;
                Counter::define(&mut connection, auth)?
            }
        };
        let sealed = seal::seal(&mut connection, root, &self.seal_pcrs, &counter, &ak.blob)?;
        self.counter = Some(counter);
        Ok(sealed::encode(SealedBody::Tpm(sealed))?)
    }

    fn unseal(&mut self, sealed: &[u8]) -> Result<Key32, PlatformError> {
        let SealedBody::Tpm(sealed) = sealed::decode(sealed)?.body else {
            return Err(SealedError::OtherKind.into());
        };
        let mut connection = self.connect()?;
        let unsealed = seal::unseal(&mut connection, &sealed)?;
        self.ak = Some(AttestationKey { srk: connection.srk_name(), blob: unsealed.ak });
        self.counter = Some(unsealed.counter);
        Ok(unsealed.root)
    }

    fn counter(&mut self) -> Result<Option<u64>, PlatformError> {
        let mut connection = self.connect()?;
        let counter = self.counter.as_ref().ok_or(PlatformError::NotUnsealed)?;
        Ok(Some(counter.read(&mut connection)?))
    }

    fn increment(&mut self) -> Result<u64, PlatformError> {
        let mut connection = self.connect()?;
        let counter = self.counter.as_ref().ok_or(PlatformError::NotUnsealed)?;
        Ok(counter.increment(&mut connection)?)
    }

    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        let command = "TPM2_GetRandom";
        let mut connection = self.connect()?;
        for part in out.chunks_mut(BLOCK_LEN) {
            let drawn =
                connection.command(command, Encrypt::Answer, |context| context.get_random(BLOCK_LEN))?;
            let unexpected = |_| TpmError::UnexpectedAnswer { command };
            let block: &[u8; BLOCK_LEN] = drawn.value().try_into().map_err(unexpected)?;
            self.watch.accept(block)?;
            for (to, from) in part.iter_mut().zip(block) {
                *to = *from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
