//! A machine that remembers what it sealed, with a chip of a generated test PKI: its evidence goes through
//! the same verifier as a real one's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_platform::{Attester, Platform, PlatformError, PlatformKind};
use vouchsafe_protocol::anchors::SimulatedRoot;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::policy::{
    Accept, ChipRule, LaunchDigest, Product, RevocationRule, SnpAccept, Tcb, TcbFloor,
};
use vouchsafe_simulation::SimulatedChip;

/// What its guests measure.
pub const MEASUREMENT: [u8; 48] = [0x42; 48];

/// A machine; clones are the same one.
#[derive(Clone)]
pub struct TestMachine(Arc<Mutex<Inner>>);

pub struct Inner {
    chip: Arc<SimulatedChip>,
    roots: HashMap<Vec<u8>, [u8; 32]>,
    /// What it calls itself.
    pub kind: PlatformKind,
    /// The counter it shows; `None` for a machine without one.
    pub counter: Option<u64>,
    /// Whether it gives keys back and seals new ones.
    pub willing: bool,
    /// How much an increment adds.
    pub step: u64,
}

impl TestMachine {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            chip: chip(),
            roots: HashMap::new(),
            kind: PlatformKind::Sim,
            counter: Some(40),
            willing: true,
            step: 1,
        })))
    }

    pub fn set(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub fn root(&self) -> SimulatedRoot {
        self.set().chip.root()
    }
}

/// The same in every test of a binary: generating the RSA keys of its authority takes seconds.
fn chip() -> Arc<SimulatedChip> {
    static CHIP: OnceLock<Arc<SimulatedChip>> = OnceLock::new();
    Arc::clone(CHIP.get_or_init(|| Arc::new(SimulatedChip::generate(Product::Genoa).unwrap())))
}

/// Accepts this machine.
pub fn accept() -> Accept {
    Accept::Snp(SnpAccept::strict(
        vec![Product::Genoa],
        vec![LaunchDigest(MEASUREMENT).into()],
        vec![TcbFloor::all(Product::Genoa, Tcb::ZERO)],
        ChipRule::AnyChip,
        RevocationRule::Unchecked,
    ))
}

impl Attester for TestMachine {
    fn kind(&self) -> PlatformKind {
        self.set().kind
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        _pcrs: &[u8],
        _logs: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        let evidence = self.set().chip.attest(LaunchDigest(MEASUREMENT), &statement.snp_report_data());
        Ok(Evidence::Snp(evidence.unwrap()))
    }
}

impl Platform for TestMachine {
    fn seal(&mut self, root: &Key32) -> Result<Vec<u8>, PlatformError> {
        let mut inner = self.set();
        if !inner.willing {
            return Err(PlatformError::NoTpm);
        }
        let name = random::array::<16>().unwrap().to_vec();
        inner.roots.insert(name.clone(), *root.expose_secret());
        Ok(name)
    }

    fn unseal(&mut self, sealed: &[u8]) -> Result<Key32, PlatformError> {
        let inner = self.set();
        let root = inner.roots.get(sealed).filter(|_| inner.willing);
        root.and_then(|root| Key32::take(&mut root.clone())).ok_or(PlatformError::NoTpm)
    }

    fn counter(&mut self) -> Result<Option<u64>, PlatformError> {
        Ok(self.set().counter)
    }

    fn increment(&mut self) -> Result<u64, PlatformError> {
        let mut inner = self.set();
        let next = inner.counter.ok_or(PlatformError::NoCounter)? + inner.step;
        inner.counter = Some(next);
        Ok(next)
    }

    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        random::fill(out).unwrap();
        Ok(())
    }
}
