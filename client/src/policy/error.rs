//! Where a policy is wrong, and why.

use vouchsafe_protocol::id::IdError;
use vouchsafe_protocol::policy::Product;
use vouchsafe_protocol::policy_check::{AcceptError, AllowError, RoleError};

/// A policy file is refused.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct CompileError {
    /// Name of the file, as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Why.
    pub reason: Reason,
}

/// Why a policy file is refused.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// An accept rule breaks a rule of the typed form.
    #[error("{0}")]
    Accept(AcceptError),
    /// An allow rule breaks a rule of the typed form.
    #[error("{0}")]
    Allow(AllowError),
    /// Not exactly one of two keys.
    #[error("give either '{one}' or '{other}'")]
    EitherOr {
        /// A key.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A list of releases without any.
    #[error("no release is named")]
    EmptySet,
    /// Values that ended before they began.
    #[error("'expires' is before 'date'")]
    ExpiresBeforeDate,
    /// A grace of nothing.
    #[error("a grace begins when values expire: give 'expires', too")]
    GraceWithoutExpiry,
    /// A key is missing.
    #[error("'{key}' is missing: {hint}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What belongs there.
        hint: &'static str,
    },
    /// Not a name.
    #[error("'{name}' is not a name: {source}")]
    Name {
        /// As written.
        name: String,
        /// Why.
        source: IdError,
    },
    /// The TCB floor does not cover a product.
    #[error("tcb_floor '{name}' has no floor for {product:?}")]
    NoFloor {
        /// Its name.
        name: String,
        /// The product.
        product: Product,
    },
    /// The release has no launch digest.
    #[error("release '{name}' has no SNP launch digest ('snp')")]
    NoMeasurement {
        /// Its name.
        name: String,
    },
    /// The release has no value for a PCR.
    #[error("release '{name}' has no value for PCR {index} ('pcr')")]
    NoPcr {
        /// Its name.
        name: String,
        /// The PCR.
        index: u8,
    },
    /// There is no role in any file.
    #[error("there is no role in these files")]
    NoRole,
    /// A number beyond its range.
    #[error("expected a whole number from {least} to {most}")]
    Number {
        /// Smallest.
        least: u32,
        /// Largest.
        most: u32,
    },
    /// Defined twice.
    #[error("'{name}' is defined twice")]
    Repeated {
        /// Its name.
        name: String,
    },
    /// Two roles would have one identity.
    #[error("another role has the same spiffe_path")]
    RepeatedSpiffePath,
    /// A role breaks a rule of the typed form.
    #[error("{0}")]
    Role(RoleError),
    /// Not TOML.
    #[error("{}", .0.message())]
    Syntax(Box<toml::de::Error>),
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// The type.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A chip list that is not defined.
    #[error("there is no [chips.{name}] in these files")]
    UnknownChips {
        /// Its name.
        name: String,
    },
    /// A TCB floor that is not defined.
    #[error("there is no [tcb_floor.{name}] in these files")]
    UnknownFloor {
        /// Its name.
        name: String,
    },
    /// A key that is not known here: a typing error, or something that this version does not have.
    #[error("unknown key '{key}'; known here: {}", known.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// Known ones.
        known: Vec<&'static str>,
    },
    /// A release that is not defined.
    #[error("there is no [release.{name}] in these files")]
    UnknownRelease {
        /// Its name.
        name: String,
    },
    /// A text that is not one of those expected.
    #[error("expected {expected}")]
    Value {
        /// What is.
        expected: &'static str,
    },
}
