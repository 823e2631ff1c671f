//! A corpus of bad evidence, with good evidence among it: from this project's own test PKI and a seed, fully signed
//! where the defect allows. Each case is right evidence with one change, and the code of the rule that must refuse it.
//!
//! The same seed gives the same bytes. A file here holds the cases of one idea; adding a case is a line or two.

#![expect(
    clippy::type_complexity,
    reason = "cases are tables, and each column is one thing that a case changes"
)]

mod add;
mod azure;
mod boot;
mod readme;
mod snp;
mod tpm;
mod tpm_world;
mod world;

use vouchsafe_simulation::SimulationError;

use crate::suite::Suite;

use add::Cases;
use world::World;

/// Name of the description that goes with a written corpus.
pub const README: &str = "README.md";

/// Makes the corpus of a seed.
///
/// # Errors
/// [`SimulationError`]: a key or certificate could not be made.
pub fn generate(seed: u64) -> Result<Suite, SimulationError> {
    let world = World::new(seed)?;
    let mut cases = Cases::new(&world);
    snp::add(&mut cases)?;
    tpm::add(&mut cases)?;
    azure::add(&mut cases)?;
    Ok(cases.finish())
}

/// What a person must know of a corpus: schema, codes and attacks, with counts.
#[must_use]
pub fn describe(suite: &Suite) -> String {
    readme::describe(suite)
}
