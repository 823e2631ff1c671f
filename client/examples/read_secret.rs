//! An agent on a simulated machine reads a secret.
//!
//! ```text
//! cargo run --example read_secret -- 127.0.0.1:8200 pin.toml fleet machine-1 billing kv/billing/db
//! ```
//!
//! The arguments are the host's address, the vault's pin, the directory of the simulated fleet, the machine's
//! name in it, the role and the path. On real hardware only the line that opens the machine differs.

use std::env;
use std::error::Error;
use std::io::Write;

use vouchsafe_client::{Endpoint, Expect, Machine, Pin, Session, introduce};
use vouchsafe_platform::sim::SimConfig;
use vouchsafe_platform::{PlatformConfig, open_attester};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, pin_file, fleet, machine, role, path] = arguments.as_slice() else {
        return Err("usage: read_secret ADDRESS PIN FLEET MACHINE ROLE PATH".into());
    };
    let endpoint = Endpoint::new(address);
    let pin = Pin::load(pin_file)?;
    let attester = open_attester(&PlatformConfig::Sim(SimConfig::new(fleet.into(), machine)))?;

    // Verify the vault, then show it evidence for a fresh key. The identity stays in memory.
    let introduced =
        introduce(&endpoint, Expect::Pinned(&pin), &role.parse()?, &Machine::from(attester)).await?;
    let mut pin = introduced.pin;

    // TLS in TLS: the host relays records that it cannot read.
    let session = Session::connect(&endpoint, &introduced.identity, &mut pin).await?;
    pin.save(pin_file)?;
    let secret = session.kv().get(path).await?;
    std::io::stdout().write_all(secret.value.expose_secret())?;
    session.close().await?;
    Ok(())
}
