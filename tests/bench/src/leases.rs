//! Many leases: what each takes, how long a vault takes to come back with them, and how fast they go when one decision
//! ends them all. A core in this process, driven through its public interface.

use std::fs::{self, File};
use std::io::{BufReader, Read as _, Seek as _};

use anyhow::{Context, bail, ensure};
use vouchsafe_enclave::{KernelPorts, Restore};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::kv::{Cas, KvRequest, KvSelect, KvValue, SecretValue};
use vouchsafe_protocol::lease::{LeaseRequest, Selector};
use vouchsafe_protocol::limits::REPLY_FRAME_LEN;
use vouchsafe_protocol::policy::{LeaseTerms, Product, Renewal};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Request, Response, parse_vault_frame};
use vouchsafe_simulation::SimulatedChip;

use crate::clock::{cpu, distribution, quantile};
use crate::core::{Asking, Vault};
use crate::evidence::{NOW, Snp};
use crate::report::{Measured, Row, Unit};
use crate::say;

/// Who holds them.
const AGENTS: usize = 100;
/// What they are for.
const SECRETS: usize = 1_000;

/// All figures of leases.
pub fn measure(leases: usize) -> anyhow::Result<Vec<Row>> {
    say("handing out leases");
    let mut snp = Snp::new(SimulatedChip::generate(Product::Genoa)?)?;
    let most = u32::try_from(leases)?;
    snp.role.leases = most;
    snp.role.leases_per_identity = most;
    for allow in &mut snp.role.allow {
        allow.lease = LeaseTerms::Lease { ttl_secs: 3000, max_secs: 30_000, renewal: Renewal::SameEvidence };
    }
    snp.role.evidence_max_age_secs = 3600;
    snp.role.identity_ttl_secs = 3600;
    let journal = tempfile::tempfile()?;
    let mut vault = Vault::keeping(&snp, Some(journal.try_clone()?))?;
    let mut operator = vault.asking()?;
    for index in 0..SECRETS {
        let value = KvValue::Bytes(SecretValue::new(b"x".to_vec()));
        let put = KvRequest::Put { path: path(index).parse()?, value, cas: Cas::Any, ttl_secs: None };
        vault.ask(&mut operator, &Request::Kv(put))?;
    }
    let mut agents = (0..AGENTS).map(|_| vault.agent()).collect::<anyhow::Result<Vec<_>>>()?;
    vault.store()?;
    let before = resident()?;
    let started = cpu();
    for index in 0..leases {
        let path = path(index % SECRETS).parse()?;
        let get = Request::Kv(KvRequest::Get { path, select: KvSelect::Current });
        let agent = agents.get_mut(index / SECRETS % AGENTS).context("no agent")?;
        vault.ask(agent, &get)?;
        if index % 100 == 99 {
            vault.store()?;
        }
    }
    vault.store()?;
    let handing_out = (cpu() - started).as_secs_f64();
    let bytes = resident()?.saturating_sub(before) as f64 / leases as f64;
    let (restart, digest) = restart(&vault, journal)?;
    ensure!(digest == vault.core.state_digest(), "it came back to another state");

    say("ending them by one decision");
    let image = vouchsafe_platform::sim::measurement(vouchsafe_platform::sim::DEFAULT_IMAGE);
    let revoke = Request::Lease(LeaseRequest::Revoke(Selector::Measurement(image.0.to_vec())));
    let started = cpu();
    let decided = vault.ask(&mut operator, &revoke)?;
    let decision = (cpu() - started).as_secs_f64();
    vault.store()?;
    decided.release(&vault.durable).ok().context("the decision is not durable")?;
    for agent in &mut agents {
        refused(&mut vault, agent)?;
    }
    let mut steps = Vec::new();
    let started = cpu();
    while vault.core.next_tick() <= NOW {
        let step = cpu();
        vault.core.tick(NOW, &mut KernelPorts)?;
        vault.store()?;
        steps.push((cpu() - step).as_secs_f64());
    }
    let rate = leases as f64 / (cpu() - started).as_secs_f64();
    let longest = quantile(&mut steps, 1.0)?;
    ensure!(vault.core.next_tick() > NOW && steps.len() > leases / 5_000, "{} steps", steps.len());
    Ok(vec![
        Row::new(format!("memory of a lease, of {leases}"), Unit::Bytes, Measured::bare(bytes))
            .goal("at most 250 bytes", bytes <= 250.0)
            .note(format!(
                "resident set, with the 64 bytes that the journal's tree keeps of each entry; {AGENTS} identities, \
                 {SECRETS} paths; handing out took {:.1} µs each (processor time)",
                handing_out / leases as f64 * 1e6
            )),
        Row::new(
            format!("coming back with {leases} leases (core, processor time)"),
            Unit::Seconds,
            Measured::bare(restart),
        )
        .goal("at most 5 s", restart <= 5.0),
        Row::new("a decision that ends all of them (core, processor time)", Unit::Seconds, Measured::bare(decision))
            .note("every holder was refused at its next request, before anything was cleaned up"),
        Row::new("leases cleaned up after it (core, processor time)", Unit::PerSecond, Measured::bare(rate))
            .goal("50,000 per second", rate >= 50_000.0),
        Row::new("a step of cleaning up (core, processor time)", Unit::Seconds, distribution(steps)?)
            .goal("others wait for at most 10 ms", longest <= 10e-3)
            .note(format!("longest {:.2} ms", longest * 1e3)),
    ])
}

fn path(index: usize) -> String {
    format!("kv/bench/team-{}/secret-{index:06}", index % 10)
}

/// The next request of a holder is refused.
fn refused(vault: &mut Vault<'_>, agent: &mut Asking) -> anyhow::Result<()> {
    let get = Request::Kv(KvRequest::Get { path: path(0).parse()?, select: KvSelect::Current });
    let pending = vault.ask(agent, &get)?;
    vault.store()?;
    let bytes = pending.release(&vault.durable).ok().context("the refusal is not durable")?;
    let (_, _, body) = parse_vault_frame(&bytes)?;
    match codec::decode::<Response>(body, REPLY_FRAME_LEN)?.outcome {
        Outcome::Refused(refusal) if refusal.code == RefusalCode::Identity => Ok(()),
        _ => bail!("a holder was served after the decision"),
    }
}

/// Seconds to read the journal back, and the state that it leads to.
fn restart(vault: &Vault<'_>, mut journal: File) -> anyhow::Result<(f64, [u8; 32])> {
    say("coming back with them");
    journal.rewind()?;
    let mut reader = BufReader::new(journal);
    let started = cpu();
    let root =
        vouchsafe_crypto::secret::Key32::take(&mut vault.root.expose_secret().clone()).context("no root")?;
    let mut restore = Restore::new(&vault.boot, root);
    let mut len = [0; 4];
    while reader.read_exact(&mut len).is_ok() {
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(len))?];
        reader.read_exact(&mut frame)?;
        restore.frame(&frame)?;
    }
    let restored = restore.finish(vault.core.expected_counter())?;
    let secs = (cpu() - started).as_secs_f64();
    Ok((secs, restored.state_digest()))
}

/// Resident memory of this process in bytes.
fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024)
}
