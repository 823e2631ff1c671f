//! What could not be gathered, why, and what to do about it.

use core::fmt;

use crate::PlatformError;
use crate::logs::{Log, LogError};

/// Part of the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Values of all banks.
    Banks,
    /// Boot event log.
    BootLog,
    /// Agreement of the boot event log with the quoted values.
    BootReplay,
    /// Certificate of the TPM's endorsement key.
    EkCertificate,
    /// IMA's log.
    ImaLog,
    /// Certificate of the VCEK's or VLEK's issuer.
    Intermediate,
    /// Keys of the TPM.
    Keys,
    /// AMD's revocation list.
    RevocationList,
    /// Certificate of the key that signed the report.
    Vek,
}

/// How much a missing part matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A verifier needs it from here.
    Needed,
    /// A verifier usually has it, or can do without.
    Optional,
}

/// A part that could not be gathered.
#[derive(Debug)]
pub struct Missing {
    /// Which.
    pub part: Part,
    /// What went wrong; `None` if the machine just does not give it.
    pub cause: Option<PlatformError>,
}

impl Missing {
    /// The machine does not give it.
    pub(crate) fn not_given(part: Part) -> Self {
        Self { part, cause: None }
    }

    pub(crate) fn banks(cause: PlatformError) -> Self {
        Self { part: Part::Banks, cause: Some(cause) }
    }

    pub(crate) fn ek_certificate(cause: PlatformError) -> Self {
        Self { part: Part::EkCertificate, cause: Some(cause) }
    }

    pub(crate) fn keys(cause: PlatformError) -> Self {
        Self { part: Part::Keys, cause: Some(cause) }
    }

    pub(crate) fn replay(error: LogError) -> Self {
        Self { part: Part::BootReplay, cause: Some(error.into()) }
    }

    pub(crate) fn log(error: LogError) -> Self {
        let part = match error.log {
            Log::Boot => Part::BootLog,
            Log::Ima => Part::ImaLog,
        };
        Self { part, cause: Some(error.into()) }
    }

    /// How much it matters.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self.part {
            Part::BootLog
            | Part::BootReplay
            | Part::EkCertificate
            | Part::ImaLog
            | Part::Keys
            | Part::Vek => Weight::Needed,
            Part::Banks | Part::Intermediate | Part::RevocationList => Weight::Optional,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match (self.part, &self.cause) {
            (_, Some(PlatformError::Log(error))) => error.fault.hint(),
            (Part::EkCertificate, _) => {
                "fetch it from the TPM's manufacturer and put it, PEM, as ek-chain.pem into the directory given with \
                 --certificates"
            }
            (Part::Vek, _) => {
                "fetch it from AMD's key server once and put it, DER, as vcek.der into the directory given with \
                 --certificates"
            }
            (Part::Intermediate, _) => {
                "a verifier has AMD's ASK; a VLEK needs its ASVK as asvk.der in the directory given with --certificates"
            }
            (Part::RevocationList, _) => {
                "fetch it from AMD's key server and put it as crl.der into the directory given with --certificates, or \
                 let the verifier import it"
            }
            (Part::Banks | Part::BootLog | Part::BootReplay | Part::ImaLog | Part::Keys, _) => "",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Banks => "values of all PCR banks",
            Self::BootLog => "boot event log",
            Self::BootReplay => "agreement of the boot event log with the quoted PCRs",
            Self::EkCertificate => "certificate of the endorsement key",
            Self::ImaLog => "IMA log",
            Self::Intermediate => "certificate of the VCEK's or VLEK's issuer",
            Self::Keys => "keys of the TPM",
            Self::RevocationList => "revocation list",
            Self::Vek => "certificate of the key that signed the report",
        })
    }
}
