//! A vault with an operator and agents that hold leases.

use vouchsafe_crypto::signature::P256Key;
use vouchsafe_enclave::KernelPorts;
use vouchsafe_protocol::kv::Cas;
use vouchsafe_protocol::lease::{Lease, LeaseEntry, LeaseReply, LeaseRequest, Selector};
use vouchsafe_protocol::policy::{Accept, Allow, Capability, LaunchDigest, LeaseTerms, Renewal, Role};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::{Outcome, Reply, Request, Response};

use crate::support::*;

/// Another release of the agents.
pub const OTHER: LaunchDigest = LaunchDigest([8; 48]);
/// The chip of the test fleet.
pub const CHIP: [u8; 64] = [5; 64];
/// What leases are for.
pub const SECRET: &str = "kv/web/a";

/// Somebody with a session.
pub struct Client {
    pub identity: Identity,
    pub session: Session,
}

impl Client {
    /// Asks, stores, and signs, so that time may pass afterwards. A refusal or the session's end is an error.
    pub fn ask(&mut self, vault: &mut Vault, request: &Request) -> Result<Response, Refusal> {
        let answer =
            vault.ask(&mut self.session, &self.identity, request, false).map_err(|end| end.refusal)?;
        vault.store();
        let response = answer.response(&vault.durable);
        // A refusal may have ended the session.
        vault.sign(&mut self.session, &self.identity).unwrap_or_default();
        match response.outcome {
            Outcome::Done(_) => Ok(response),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    pub fn read(&mut self, vault: &mut Vault, path: &str) -> Result<Lease, Refusal> {
        self.ask(vault, &get(path, None)).map(|response| response.lease.expect("a lease"))
    }

    pub fn renew(&mut self, vault: &mut Vault, number: u64) -> Result<Lease, Refusal> {
        match self.ask(vault, &Request::Lease(LeaseRequest::Renew { number }))?.outcome {
            Outcome::Done(Reply::Lease(LeaseReply::Renewed(lease))) => Ok(lease),
            other => panic!("{other:?}"),
        }
    }

    pub fn revoke(&mut self, vault: &mut Vault, selector: Selector) -> Result<(), Refusal> {
        match self.ask(vault, &Request::Lease(LeaseRequest::Revoke(selector)))?.outcome {
            Outcome::Done(Reply::Lease(LeaseReply::Revoked)) => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    pub fn entries(&mut self, vault: &mut Vault) -> Result<Vec<LeaseEntry>, Refusal> {
        let (mut all, mut after) = (Vec::new(), Some(0));
        while let Some(number) = after {
            match self.ask(vault, &Request::Lease(LeaseRequest::List { after: number }))?.outcome {
                Outcome::Done(Reply::Lease(LeaseReply::Leases { leases, next })) => {
                    all.extend(leases);
                    after = next;
                }
                other => panic!("{other:?}"),
            }
        }
        Ok(all)
    }

    /// Numbers of the leases that it sees.
    pub fn list(&mut self, vault: &mut Vault) -> Vec<u64> {
        self.entries(vault).unwrap().iter().map(|entry| entry.lease.number).collect()
    }
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> RefusalCode {
    result.unwrap_err().code
}

/// The rule of a refusal.
pub fn rule<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    result.unwrap_err().rule.unwrap()
}

/// A grant with a lease.
pub fn leased(path: &str, can: &[Capability], ttl_secs: u32, max_secs: u32) -> Allow {
    let lease = LeaseTerms::Lease { ttl_secs, max_secs, renewal: Renewal::SameEvidence };
    Allow { lease, ..Allow::always(path, can) }
}

/// A role that reads below `kv/web` with leases, and is accepted with both measurements.
pub fn reader(name: &str, allow: Vec<Allow>) -> Role {
    let mut role = Role { allow, ..role(name, &[]) };
    let [Accept::Snp(snp)] = role.accept.as_mut_slice() else { panic!() };
    snp.measurements.push(OTHER.into());
    role
}

pub fn web() -> Role {
    reader("web", vec![leased("kv/web/*", &[Capability::Read], 600, 1500)])
}

pub struct World {
    pub vault: Vault,
    pub operator: Client,
}

impl World {
    /// A vault with these roles and a secret.
    pub fn new(roles: Vec<Role>) -> Self {
        let mut vault = Vault::create();
        let operator = operator(&mut vault);
        let mut world = Self { vault, operator };
        world.apply(roles);
        for path in [SECRET, "kv/web/b", "kv/webs/a"] {
            world.operate(&put(path, b"x", Cas::Any));
        }
        world
    }

    pub fn operate(&mut self, request: &Request) -> Response {
        self.operator.ask(&mut self.vault, request).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    pub fn apply(&mut self, roles: Vec<Role>) {
        self.operate(&Request::RoleApply(roles));
    }

    pub fn revoke(&mut self, selector: Selector) {
        self.operator.revoke(&mut self.vault, selector).unwrap();
    }

    /// Numbers of all leases that hold.
    pub fn held(&mut self) -> Vec<u64> {
        self.operator.list(&mut self.vault)
    }

    pub fn agent(&mut self, role: &str) -> Client {
        self.agent_of(role, &P256Key::generate().unwrap(), MEASUREMENT)
    }

    pub fn agent_of(&mut self, role: &str, key: &P256Key, measurement: LaunchDigest) -> Client {
        let identity = self.introduce(role, key, measurement).unwrap();
        self.open(identity)
    }

    pub fn introduce(
        &mut self,
        role: &str,
        key: &P256Key,
        measurement: LaunchDigest,
    ) -> Result<Identity, Refusal> {
        let hello = self.vault.hello(agent(role));
        let offer = self.vault.offer(&hello)?;
        let prove = proof(&hello, &offer, key, &key.spki(), role, measurement);
        let grant = self.vault.prove(&prove)?;
        Ok(Identity { key: copied(key), grant, prove })
    }

    pub fn open(&mut self, identity: Identity) -> Client {
        let session = self.vault.open(&identity).unwrap();
        Client { identity, session }
    }

    /// Does all that is due now, and says how many steps it took.
    pub fn tick(&mut self) -> usize {
        let mut steps = 0;
        while self.vault.core.next_tick() <= self.vault.now {
            self.vault.core.tick(self.vault.now, &mut KernelPorts).unwrap();
            self.vault.store();
            steps += 1;
            assert!(steps < 100_000, "there is always something to do");
        }
        steps
    }

    /// Later, with sessions of its own.
    pub fn later(&mut self, secs: u64) {
        self.vault.now += secs;
    }

    /// A crash, after which the operator comes back.
    pub fn crash(self) -> Self {
        let mut vault = self.vault.crash();
        // As the process around the core does: time goes on from the core's.
        vault.now = vault.now.max(vault.core.clock());
        let operator = operator(&mut vault);
        Self { vault, operator }
    }

    /// What the state would be if the vault came back now.
    pub fn replayed(&self) -> [u8; 32] {
        let machine = &self.vault.machine;
        let mut restore = vouchsafe_enclave::Restore::new(&machine.boot, machine.root());
        machine.frames.iter().for_each(|frame| restore.frame(frame).unwrap());
        restore.finish(machine.counter).unwrap().state_digest()
    }
}

fn operator(vault: &mut Vault) -> Client {
    let identity = vault.introduce_operator();
    let session = vault.open(&identity).unwrap();
    Client { identity, session }
}

/// The serial number of an identity.
pub fn number(world: &mut World, holder: &Client, lease: u64) -> u64 {
    let entries = world.operator.entries(&mut world.vault).unwrap();
    assert!(!holder.identity.grant.certificate.is_empty());
    entries.iter().find(|entry| entry.lease.number == lease).unwrap().identity
}

pub fn copied(key: &P256Key) -> P256Key {
    let bytes = key.expose_pkcs8().expose_secret().to_vec();
    P256Key::from_pkcs8(vouchsafe_crypto::secret::SecretBytes::new(bytes)).unwrap()
}
