//! What most scenarios begin with.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::process::Command;
use vouchsafe_client::{Machine, RequestError, Session};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::kv::{Cas, SecretValue};
use vouchsafe_protocol::policy::TpmKind;
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_swtpm::Swtpm;
use vouchsafe_tests::stack::{Agent, Below, Operator, Stack, sim_machine, sim_role};
use vouchsafe_tests::tap::{Tamper, Tap};

/// Role of agents, with everything allowed below `kv/app`.
pub const ROLE: &str = "app";
/// The secret that is written first.
pub const PATH: &str = "kv/app/first";
/// Its value.
pub const VALUE: &[u8] = b"the first secret, and whole";

/// A serving vault on the simulated platform, an introduced agent, and a secret. Fields drop in this order.
pub struct Rig {
    pub stack: Stack,
    pub tap: Option<Tap>,
    pub operator: Operator,
    pub agent: Agent,
    pub dir: TempDir,
}

impl Rig {
    pub async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let stack = Stack::start(dir.path(), Below::Sim).await?;
        Self::on(dir, stack, None).await
    }

    pub async fn tapped(tamper: Arc<dyn Tamper>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let (stack, tap) = Stack::start_tapped(dir.path(), Below::Sim, tamper).await?;
        Self::on(dir, stack, Some(tap)).await
    }

    async fn on(dir: TempDir, stack: Stack, tap: Option<Tap>) -> anyhow::Result<Self> {
        let mut operator = Operator::init(&stack).await?;
        apply(&stack, &mut operator, &sim_role(ROLE, "kv/app/*")).await?;
        let machine = sim_machine(&stack, "agent")?;
        let mut agent = Agent::introduce(&stack, &operator.pin, ROLE, &machine).await?;
        let session = agent.connect(&stack).await?;
        write(&session, PATH, VALUE).await?;
        session.close().await?;
        Ok(Self { stack, tap, operator, agent, dir })
    }

    /// Kills both processes, as a power cut does.
    pub async fn power_off(&mut self) -> anyhow::Result<()> {
        self.stack.kill_enclave().await?;
        self.stack.kill_host().await
    }

    /// Copies what the host keeps while both go on: the host stands still meanwhile.
    pub async fn copy_live(&self, to: &Path) -> anyhow::Result<()> {
        let host = self.stack.ids().1.context("no host")?.to_string();
        let signal = |signal: &'static str| Command::new("kill").args([signal, &host]).status();
        ensure!(signal("-STOP").await?.success(), "the host does not stand still");
        let copied = copy_dir(&self.stack.host_dir(), to);
        ensure!(signal("-CONT").await?.success(), "the host does not go on");
        copied
    }

    pub async fn power_on(&mut self) -> anyhow::Result<()> {
        self.stack.start_enclave().await?;
        self.stack.start_host().await
    }

    /// The first secret is served, whole.
    pub async fn serves(&mut self) -> anyhow::Result<()> {
        self.stack.ready().await?;
        let session = self.agent.connect(&self.stack).await?;
        let read = session.kv().get(PATH).await?;
        ensure!(read.value.expose_secret() == VALUE, "another value");
        Ok(session.close().await?)
    }

    /// The vault says exactly this reason on `/readyz`, and serves nobody.
    pub async fn fails_with(&mut self, code: &str) -> anyhow::Result<()> {
        let reason = format!("\"reason\":\"{code}\"");
        let page = self.stack.await_page(|_, body| body.contains("\"failed\"")).await?;
        ensure!(page.contains(&reason), "/readyz says {page}");
        ensure!(self.agent.connect(&self.stack).await.is_err(), "a session was opened");
        Ok(())
    }
}

/// Applies a policy as an operator.
pub async fn apply(stack: &Stack, operator: &mut Operator, policy: &str) -> anyhow::Result<()> {
    let session = operator.connect(stack).await?;
    session.roles().apply(vouchsafe_client::policy::compile(&[("policy.toml", policy)])?).await?;
    Ok(session.close().await?)
}

/// Writes a new version; the number of it.
pub async fn write(session: &Session, path: &str, value: &[u8]) -> Result<u64, RequestError> {
    session.kv().put(path, SecretValue::new(value.to_vec()), Cas::Any).await
}

/// Copies a directory as it is at this moment.
pub fn copy_dir(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("copying to {}", target.display()))?;
        }
    }
    Ok(())
}

/// Puts a copy in the place of a directory.
pub fn replace_dir(dir: &Path, with: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(dir)?;
    copy_dir(with, dir)
}

/// Anchors of software TPMs, by name; no SNP machine is believed.
pub fn tpm_anchors(tpms: &[(&str, &Swtpm)]) -> anyhow::Result<Anchors> {
    let anchor = |(name, tpm): &(&str, &Swtpm)| {
        let (name, certificates) = (name.parse()?, tpm.ek_anchors()?);
        anyhow::Ok(TpmAnchor { name, class: AnchorClass::Simulated, kind: TpmKind::Hardware, certificates })
    };
    let tpm = tpms.iter().map(anchor).collect::<anyhow::Result<_>>()?;
    Ok(Anchors { amd: AmdAnchors::BuiltIn, tpm })
}

/// An introduction that the vault refuses, with the rule that it names.
pub async fn refused(
    stack: &Stack,
    operator: &Operator,
    role: &str,
    machine: &Machine,
) -> anyhow::Result<(RefusalCode, String)> {
    match Agent::introduce(stack, &operator.pin, role, machine).await {
        Ok(_) => anyhow::bail!("it was introduced"),
        Err(error) => match error.downcast_ref() {
            Some(vouchsafe_client::IntroduceError::Refused(Refusal { code, rule })) => {
                Ok((*code, rule.clone().unwrap_or_default()))
            }
            _ => Err(error.context("not refused, but failed")),
        },
    }
}
