//! The rule over an IMA log: every file on a list.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::entry::{Entry, Template};
use super::error::ImaRuleError;
use super::fields::OF_CONTENT;
use super::replay::{ConfirmedImaLog, PCR_IMA};

/// Name of the entry that holds a hash over the boot's PCRs (`ima_add_boot_aggregate`).
const BOOT_AGGREGATE: &[u8] = b"boot_aggregate";

/// What the first entry's hash over the boot's PCRs was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootAggregate {
    /// There is none, or not all PCRs that it covers were quoted; its digest is then on the list.
    NotCompared,
    /// PCRs 0 to 7.
    Pcrs0To7,
    /// PCRs 0 to 9, as kernels from 5.8 have it.
    Pcrs0To9,
}

/// Applies an allow-list to a confirmed log. `allowed` holds SHA-256 digests of files in ascending order; `pcr` gives
/// the quoted value of a PCR of the SHA-256 bank.
///
/// Steps: 1. no entry is of another PCR, 2. a violation, 3. of a buffer, or of an unknown template; 4. a first entry
/// `boot_aggregate` is the hash of the quoted PCRs 0 to 9 or 0 to 7, if these were quoted; 5. every other entry's file
/// has a SHA-256 digest of its content on the list (not that of an fs-verity descriptor). Names are for people: no rule looks at them but step 4.
///
/// # Errors
/// [`ImaRuleError`], the first entry that fails.
pub fn check_files(
    log: &ConfirmedImaLog<'_>,
    allowed: &[[u8; 32]],
    pcr: impl Fn(u8) -> Option<[u8; 32]>,
) -> Result<BootAggregate, ImaRuleError> {
    let mut aggregate = BootAggregate::NotCompared;
    // INVARIANT: a parsed log has no malformed entry.
    for entry in log.log().entries().filter_map(Result::ok) {
        let number = entry.number;
        // Steps 1 to 3.
        if entry.pcr != PCR_IMA {
            return Err(ImaRuleError::OtherPcr { number });
        }
        if entry.is_violation() {
            return Err(ImaRuleError::Violation { number });
        }
        let Some(digest) = sha256_digest(&entry)? else { return Err(ImaRuleError::FileNotListed { number }) };
        // Step 4.
        let is_aggregate = number == 1 && entry.file.as_ref().is_some_and(|file| file.name == BOOT_AGGREGATE);
        if is_aggregate {
            aggregate = compare_aggregate(&digest, &pcr)?;
        }
        // Step 5.
        let is_compared = is_aggregate && aggregate != BootAggregate::NotCompared;
        if !is_compared && allowed.binary_search(&digest).is_err() {
            return Err(ImaRuleError::FileNotListed { number });
        }
    }
    Ok(aggregate)
}

/// The SHA-256 digest of the content of an entry's file; `None` for a digest by another algorithm or of another type.
fn sha256_digest(entry: &Entry<'_>) -> Result<Option<[u8; 32]>, ImaRuleError> {
    let number = entry.number;
    let file = match (&entry.file, entry.template) {
        (Some(file), _) => file,
        (None, Template::ImaBuf) => return Err(ImaRuleError::Buffer { number }),
        (None, _) => return Err(ImaRuleError::Template { number }),
    };
    let is_of_content = file.digest_type == OF_CONTENT && file.algorithm == b"sha256";
    Ok(if is_of_content { file.digest.as_ref().try_into().ok() } else { None })
}

fn compare_aggregate(
    digest: &[u8; 32],
    pcr: impl Fn(u8) -> Option<[u8; 32]>,
) -> Result<BootAggregate, ImaRuleError> {
    let over = |last: u8| {
        let values: Option<Vec<[u8; 32]>> = (0..=last).map(&pcr).collect();
        values.map(|values| HashAlgorithm::Sha256.hash(&[values.as_flattened()]))
    };
    let Some(short) = over(7) else { return Ok(BootAggregate::NotCompared) };
    if short.as_ref() == digest {
        return Ok(BootAggregate::Pcrs0To7);
    }
    match over(9) {
        Some(long) if long.as_ref() == digest => Ok(BootAggregate::Pcrs0To9),
        Some(_) => Err(ImaRuleError::BootAggregate),
        None => Ok(BootAggregate::NotCompared),
    }
}
