//! The main job on two software TPMs, and every way in which an agent's TPM may be wrong.

use std::path::PathBuf;
use std::process::Output;

use anyhow::Context;
use tempfile::TempDir;
use tokio::process::Command;
use vouchsafe_attestation::statement::{self, StatementPreimage};
use vouchsafe_client::{Machine, RequestError};
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_platform::tpm::{TpmConfig, TpmPlatform};
use vouchsafe_platform::{Attester, PlatformError, PlatformKind};
use vouchsafe_protocol::evidence::{CredentialBlob, Evidence, TpmKeys};
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_swtpm::Swtpm;
use vouchsafe_tests::stack::{Agent, Below, Operator, Stack, binary};

use crate::rig::{PATH, ROLE, VALUE, apply, refused, tpm_anchors, write};

/// PCRs that the role asks for.
const PCRS: [u8; 2] = [0, 7];

/// A vault's machine and an agent's, with a role that takes the agent as it is, and a secret.
struct Machines {
    stack: Stack,
    operator: Operator,
    agent: Swtpm,
    _vault: Swtpm,
    dir: TempDir,
}

impl Machines {
    async fn start() -> anyhow::Result<Self> {
        let (vault, agent) = (Swtpm::create()?, Swtpm::create()?);
        let dir = tempfile::tempdir()?;
        let stack = Stack::start(dir.path(), Below::Tpm(vault.tcti())).await?;
        let anchors = tpm_anchors(&[("vault", &vault), ("agent", &agent)])?;
        let mut operator = Operator::init_with(&stack, anchors).await?;
        apply(&stack, &mut operator, &role(&agent)?).await?;
        let session = operator.connect(&stack).await?;
        write(&session, PATH, VALUE).await?;
        session.close().await?;
        Ok(Self { stack, operator, agent, _vault: vault, dir })
    }

    /// Runs an attack of the demo's adversary as the owner of the agent's machine.
    async fn attack(&self, name: &str) -> anyhow::Result<Output> {
        let pin = self.dir.path().join("pin.toml");
        self.operator.pin.save(&pin)?;
        let ak_file = self.dir.path().join("attestation-key");
        let attack = Command::new(binary("vouchsafe-adversary")?)
            .args([name, "--role", ROLE, "--address", self.stack.endpoint().address()])
            .args(["--tcti", &self.agent.tcti(), "--pin"])
            .args([pin, PathBuf::from("--ak-file"), ak_file])
            .env("TSS2_LOG", "all+NONE")
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(vouchsafe_tests::stack::PATIENCE, attack).await?.context("the adversary")
    }
}

fn platform(tpm: &Swtpm) -> anyhow::Result<TpmPlatform> {
    Ok(TpmPlatform::open(TpmConfig::new(tpm.tcti().parse()?))?)
}

/// Accepts TPMs under the anchor `agent` whose PCRs are what this one's are now.
pub fn role(tpm: &Swtpm) -> anyhow::Result<String> {
    let vault = vouchsafe_protocol::id::VaultId {
        class: vouchsafe_protocol::id::AnchorClass::Simulated,
        digest: [0; 32],
    };
    let any = statement::introduction(b"any", &[0; 32], b"any", &ROLE.parse()?, &vault);
    let Evidence::Tpm(shown) = platform(tpm)?.evidence(&any, &PCRS, LogsWanted::default())? else {
        anyhow::bail!("no quote")
    };
    let values: Vec<String> = shown
        .pcrs
        .iter()
        .map(|pcr| format!("{} = {{ values = [\"{}\"] }}", pcr.index, hex(&pcr.value)))
        .collect();
    Ok(format!(
        r#"
[role.{ROLE}]
spiffe_path = "/app"
evidence_max_age = "1h"
identity_ttl = "1h"
refusals = "name-rule"

[[role.{ROLE}.accept]]
kind = "tpm"
anchors = ["agent"]
pcrs = {{ {} }}
ek = "any-tpm"

[[role.{ROLE}.allow]]
path = "kv/app/*"
can = ["read"]
"#,
        values.join(", ")
    ))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An agent's machine, as it claims to be: the keys and the quote may come from different places.
struct Forged<E> {
    /// Holds the endorsement key.
    endorsed: TpmPlatform,
    /// Shows the attestation key and the quote.
    quoting: E,
    /// Changes the attestation key's public area.
    edit: fn(&mut Vec<u8>),
}

impl<E: Attester> Attester for Forged<E> {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Tpm
    }

    fn tpm_keys(&mut self) -> Result<Option<TpmKeys>, PlatformError> {
        let endorsed = self.endorsed.tpm_keys()?;
        let shown = self.quoting.tpm_keys()?;
        Ok(endorsed.zip(shown).map(|(endorsed, shown)| {
            let mut keys = TpmKeys { ak_public: shown.ak_public, ..endorsed };
            (self.edit)(&mut keys.ak_public);
            keys
        }))
    }

    /// If the TPM does not open it, what is left is to guess.
    fn activate(&mut self, blob: &CredentialBlob) -> Result<Key32, PlatformError> {
        self.endorsed.activate(blob).or_else(|_| random::key().map_err(|_| PlatformError::NoRandomness))
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        pcrs: &[u8],
        logs: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        self.quoting.evidence(statement, pcrs, logs)
    }
}

#[tokio::test]
async fn t10_an_agent_on_a_tpm_gets_its_first_secret_until_its_pcrs_change() -> anyhow::Result<()> {
    let mut machines = Machines::start().await?;
    let machine = Machine::new(platform(&machines.agent)?);
    let mut agent = Agent::introduce(&machines.stack, &machines.operator.pin, ROLE, &machine).await?;
    let session = agent.connect(&machines.stack).await?;
    assert_eq!(session.kv().get(PATH).await?.value.expose_secret(), VALUE);
    // Nobody else reads it, not even who wrote it.
    let operator = machines.operator.connect(&machines.stack).await?;
    let denied = operator.kv().get(PATH).await;
    assert!(matches!(denied, Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::Denied));

    machines.agent.extend(7, [0x66; 32])?;
    let (code, rule) = refused(&machines.stack, &machines.operator, ROLE, &machine).await?;
    assert_eq!((code, rule.as_str()), (RefusalCode::Evidence, "tpm.pcr.value"));
    // A reboot takes it back.
    machines.agent.power_cycle()?;
    machines.agent.boot()?;
    let machine = Machine::new(platform(&machines.agent)?);
    Agent::introduce(&machines.stack, &machines.operator.pin, ROLE, &machine).await?;
    machines.stack.stop().await
}

#[tokio::test]
async fn t4_an_attestation_key_that_is_not_in_the_endorsed_tpm_is_refused() -> anyhow::Result<()> {
    let machines = Machines::start().await?;
    // Of another TPM that booted the same: its quote is genuine, and its PCRs are right.
    let other = Swtpm::create()?;
    let keep = |_: &mut Vec<u8>| {};
    let forged = Forged { endorsed: platform(&machines.agent)?, quoting: platform(&other)?, edit: keep };
    let (code, rule) = refused(&machines.stack, &machines.operator, ROLE, &Machine::new(forged)).await?;
    assert_eq!((code, rule.as_str()), (RefusalCode::Evidence, "tpm.residency"));

    // Made by software, with the same attributes.
    let attack = machines.attack("software-key").await?;
    let said = String::from_utf8_lossy(&attack.stdout);
    assert_eq!(attack.status.code(), Some(3), "{said} {}", String::from_utf8_lossy(&attack.stderr));
    assert!(said.contains("tpm.residency"), "{said}");

    // The same two machines, put together by the same code, pass when the key is where it should be.
    let own = Forged {
        endorsed: platform_with_key(&machines, "own")?,
        quoting: platform_with_key(&machines, "own")?,
        edit: keep,
    };
    Agent::introduce(&machines.stack, &machines.operator.pin, ROLE, &Machine::new(own)).await?;
    Ok(())
}

/// The agent's TPM with an attestation key on file.
fn platform_with_key(machines: &Machines, name: &str) -> anyhow::Result<TpmPlatform> {
    let ak_file = Some(machines.dir.path().join(name));
    let mut platform =
        TpmPlatform::open(TpmConfig { ak_file, ..TpmConfig::new(machines.agent.tcti().parse()?) })?;
    // Makes the key, if there is none yet.
    platform.tpm_keys()?;
    Ok(platform)
}

#[tokio::test]
async fn t5_a_key_that_signs_anything_is_refused() -> anyhow::Result<()> {
    let machines = Machines::start().await?;
    // Attribute 16 of a TPMT_PUBLIC, `restricted`, is in the second of the four bytes after two algorithms.
    let unrestricted = |public: &mut Vec<u8>| public[5] &= !0x01;
    let forged = Forged {
        endorsed: platform_with_key(&machines, "key")?,
        quoting: platform_with_key(&machines, "key")?,
        edit: unrestricted,
    };
    let (code, rule) = refused(&machines.stack, &machines.operator, ROLE, &Machine::new(forged)).await?;
    assert_eq!((code, rule.as_str()), (RefusalCode::Evidence, "tpm.ak.unrestricted"));
    Ok(())
}

#[tokio::test]
async fn t12_a_tpm_of_another_authority_is_refused() -> anyhow::Result<()> {
    let machines = Machines::start().await?;
    let other = Swtpm::create()?;
    // Its authority has the same names, and other keys.
    let stranger = Machine::new(platform(&other)?);
    let (code, rule) = refused(&machines.stack, &machines.operator, ROLE, &stranger).await?;
    assert_eq!((code, rule.as_str()), (RefusalCode::Evidence, "tpm.ek.chain"));
    Ok(())
}

#[tokio::test]
async fn f4_a_recorded_proof_sent_again_through_the_host_is_refused() -> anyhow::Result<()> {
    let machines = Machines::start().await?;
    let attack = machines.attack("replay").await?;
    let said = String::from_utf8_lossy(&attack.stdout);
    assert_eq!(attack.status.code(), Some(3), "{said} {}", String::from_utf8_lossy(&attack.stderr));
    assert!(said.contains(&RefusalCode::ChallengeUsed.to_string()), "{said}");
    Ok(())
}
